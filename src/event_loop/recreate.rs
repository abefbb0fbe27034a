//! The end of stale registrations.

use super::EventLoop;
use crate::poller::Poller;

impl<P: Poller> EventLoop<P> {
    /// Recreates the poller, if it supports that. Every interest in a descriptor is then registered again before the
    /// next wait (EV-1003).
    ///
    /// A poller on epoll keeps a descriptor in reserve for this. If it could not replace the last one because no
    /// descriptor was free, the stale registrations stay, and the loop detects them again. So that it does not spin,
    /// the poller pauses before it reports them again.
    #[cold]
    pub(super) fn recreate_poller(&mut self) {
        let mut state = self.registry.lock();
        if let Ok(true) = self.poller.recreate() {
            state.table.poller_was_recreated();
        }
    }
}
