//! A stop without the lock, for signal handlers.
//!
//! A handler may run on the very thread that holds the lock, between any two of its instructions, so it
//! stores a flag and writes to a descriptor, and nothing else. The flag is stored before the wake is sent,
//! and a wake that comes before the wait ends the next one: whichever way the two threads meet, the loop
//! either sees the flag before it waits or does not stay in the wait.

use super::Registry;
use crate::poller::{Poller, Registrar};
use std::sync::atomic::Ordering;

impl<P: Poller> Registry<P> {
    /// Asks the loop to stop. Takes no lock and allocates nothing.
    pub(crate) fn stop_by_signal(&self) {
        self.shared.signalled.store(true, Ordering::Release);
        // A wake that cannot be sent is lost on a poller that is beyond help.
        let _ = self.shared.registrar.wake();
    }

    /// Whether a signal asked the loop to stop.
    pub(crate) fn is_signalled(&self) -> bool {
        self.shared.signalled.load(Ordering::Acquire)
    }

    /// Whether anybody asked the loop to stop; forgets it.
    pub(crate) fn take_stop(&self) -> bool {
        let signalled = self.is_signalled() && self.shared.signalled.swap(false, Ordering::AcqRel);
        self.lock().table.take_stop() || signalled
    }
}
