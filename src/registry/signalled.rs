//! Stop requests without the lock, for signal handlers.
//!
//! A signal handler may interrupt the thread that holds the lock at any instruction, so it only stores a flag and
//! writes to a descriptor. The flag is stored before the wake is sent, and a wake that is sent before a wait ends
//! that wait. So in every interleaving the loop either reads the flag before it waits, or its wait ends at once.

use super::Registry;
use crate::poller::{Poller, Registrar};
use std::sync::atomic::Ordering;

impl<P: Poller> Registry<P> {
    /// Requests a stop of the loop. Takes no lock and allocates nothing.
    pub(crate) fn stop_by_signal(&self) {
        self.shared.signalled.store(true, Ordering::Release);
        // A wake fails only if the poller is broken; the loop's own wait reports that.
        let _ = self.shared.registrar.wake();
    }

    /// Returns whether a signal handler has requested a stop.
    pub(crate) fn is_signalled(&self) -> bool {
        self.shared.signalled.load(Ordering::Acquire)
    }

    /// Returns whether a stop is requested, and clears the request.
    pub(crate) fn take_stop(&self) -> bool {
        let signalled = self.is_signalled() && self.shared.signalled.swap(false, Ordering::AcqRel);
        self.lock().table.take_stop() || signalled
    }
}
