//! Ending a daemon.

use super::hub::Hub;
use crate::sync::Mutex;
use std::fmt;
use std::sync::Arc;

/// Who wants to know of a stop.
pub(super) type Told = Box<dyn FnOnce() + Send>;

/// Stops a daemon, from any thread.
#[derive(Clone)]
pub struct Shutdown {
    hub: Arc<Hub>,
    /// Who wants to know of the first request. Taken out before it is called.
    on_request: Arc<Mutex<Option<Told>>>,
}

impl Shutdown {
    pub(super) fn new(hub: Arc<Hub>) -> Shutdown {
        Shutdown {
            hub,
            on_request: Arc::new(Mutex::new(None)),
        }
    }

    /// Has `told` called when the daemon is first asked to stop.
    pub(super) fn on_request(&self, told: Told) {
        *self.on_request.lock() = Some(told);
    }

    /// Stops the daemon in order: the sockets go, clients read their last answers, then
    /// [`run`](super::run) returns. Asked a second time, it stops at once (DM-1302…1304).
    pub fn request(&self) {
        let told = self.on_request.lock().take();
        if let Some(told) = told {
            told();
        }
        self.hub.drain();
    }

    /// Stops the daemon at once. What clients have not read is lost.
    pub fn now(&self) {
        self.hub.stop_now();
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
