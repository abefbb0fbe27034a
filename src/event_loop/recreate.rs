//! Getting rid of what a poller reports and nobody is registered for.

use super::EventLoop;
use crate::poller::Poller;

impl<P: Poller> EventLoop<P> {
    /// Lets the poller begin anew, if it can, and has it told everything before the next wait (EV-1003).
    ///
    /// If it cannot for lack of a descriptor, the phantoms will be seen again.
    #[cold]
    pub(super) fn recreate_poller(&mut self) {
        let mut state = self.registry.lock();
        if let Ok(true) = self.poller.recreate() {
            state.table.poller_was_recreated();
        }
    }
}
