//! Changing a daemon that runs.

use super::config::Config;
use super::error::DaemonError;
use super::state::Server;
use std::sync::Arc;

/// Changes a daemon that runs, from any thread.
#[derive(Clone, Debug)]
pub struct Control {
    server: Arc<Server>,
}

impl Control {
    pub(super) fn new(server: Arc<Server>) -> Control {
        Control { server }
    }

    /// Applies what can change without another start: limits, times, the policy for new connections, and
    /// passwords, keys and certificates, which are read again. Sockets stay as they are, and so do authenticated
    /// clients (DM-1306).
    ///
    /// # Errors
    /// [`DaemonError::Auth`] and [`DaemonError::Tls`]; nothing has changed then.
    pub fn apply(&self, config: &Config) -> Result<(), DaemonError> {
        self.server.apply(config)
    }
}
