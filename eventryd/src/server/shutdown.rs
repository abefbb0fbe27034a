//! The stop of a daemon.

use super::state::Server;
use crate::sync::Mutex;
use std::fmt;
use std::sync::Arc;

/// A function that is called at the first request to stop.
pub(super) type StopHook = Box<dyn FnOnce() + Send>;

/// A handle that stops a daemon from any thread.
#[derive(Clone)]
pub struct Shutdown {
    server: Arc<Server>,
    /// Taken out before it is called.
    on_request: Arc<Mutex<Option<StopHook>>>,
}

impl Shutdown {
    pub(super) fn new(server: Arc<Server>) -> Shutdown {
        Shutdown {
            server,
            on_request: Arc::new(Mutex::new(None)),
        }
    }

    /// Sets a function that is called at the first request to stop.
    pub(super) fn on_request(&self, hook: StopHook) {
        *self.on_request.lock() = Some(hook);
    }

    /// Stops the daemon in order: the sockets are closed, clients can read their last replies, then
    /// [`run`](super::run) returns. The second request stops it at once (DM-1302 to DM-1304).
    pub fn request(&self) {
        let hook = self.on_request.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        self.server.drain();
    }

    /// Stops the daemon at once. Unread replies are lost.
    pub fn now(&self) {
        self.server.stop_now();
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
