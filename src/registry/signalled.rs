//! Stop requests without the lock, for signal handlers.
//!
//! A signal handler may interrupt the thread that holds the lock at any instruction, so it only stores a flag and
//! writes to a descriptor. The flag is stored before the wake is sent, and a wake that is sent before a wait ends
//! that wait. So in every interleaving the loop either reads the flag before it waits, or its wait ends at once.

use super::{Registry, State};
use crate::poller::{Poller, Registrar};
use crate::table::Effects;
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
        self.take_stop_request() || signalled
    }

    /// Returns whether a stop is requested by another means than a signal handler, and clears the request.
    ///
    /// A request that another thread makes at the same time may be left; the loop does not sleep then.
    pub(crate) fn take_stop_request(&self) -> bool {
        self.shared.may_stop.load(Ordering::Relaxed) && {
            let mut state = self.lock();
            self.shared.may_stop.store(false, Ordering::Relaxed);
            state.table.take_stop()
        }
    }

    /// Records a stop request in the table.
    pub(crate) fn request_stop<'a>(&self, state: &'a mut State<P>) -> Effects<'a, P::Source> {
        self.shared.may_stop.store(true, Ordering::Relaxed);
        state.table.request_stop()
    }
}
