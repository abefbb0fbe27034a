//! Changes of a running daemon.

use super::config::Config;
use super::error::DaemonError;
use super::state::Server;
use std::sync::Arc;

/// A handle that changes a running daemon from any thread.
#[derive(Clone, Debug)]
pub struct Control {
    server: Arc<Server>,
}

impl Control {
    pub(super) fn new(server: Arc<Server>) -> Control {
        Control { server }
    }

    /// Applies the settings that do not need a restart: limits, times and the policy for new connections. Reads
    /// passwords, keys and certificates again. Sockets and authenticated clients do not change (DM-1306).
    ///
    /// # Errors
    /// [`DaemonError::Auth`] and [`DaemonError::Tls`]; the call changes nothing then.
    pub fn apply(&self, config: &Config) -> Result<(), DaemonError> {
        self.server.apply(config)
    }
}
