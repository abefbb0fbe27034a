//! Ending a daemon.

use super::hub::Hub;
use std::sync::Arc;

/// Stops a daemon, from any thread.
#[derive(Clone, Debug)]
pub struct Shutdown {
    hub: Arc<Hub>,
}

impl Shutdown {
    pub(super) fn new(hub: Arc<Hub>) -> Shutdown {
        Shutdown { hub }
    }

    /// Stops the daemon in order: the sockets go, clients read their last answers, then
    /// [`run`](super::run) returns. Asked a second time, it stops at once (DM-1302…1304).
    pub fn request(&self) {
        self.hub.drain();
    }

    /// Stops the daemon at once. What clients have not read is lost.
    pub fn now(&self) {
        self.hub.stop_now();
    }
}
