//! Changing a daemon that runs.

use super::hub::Hub;
use super::{Config, DaemonError};
use std::sync::Arc;

/// Changes a daemon that runs, from any thread.
#[derive(Clone, Debug)]
pub struct Control {
    hub: Arc<Hub>,
}

impl Control {
    pub(super) fn new(hub: Arc<Hub>) -> Control {
        Control { hub }
    }

    /// Serves as `config` says from now on, as far as that is possible without another start: limits, times,
    /// what new connections may do, and passwords, keys and certificates, which are read again. Sockets stay as they are, and so
    /// do clients that have authenticated (DM-1306).
    ///
    /// # Errors
    /// [`DaemonError::Auth`] and [`DaemonError::Tls`]; nothing has changed then.
    pub fn apply(&self, config: &Config) -> Result<(), DaemonError> {
        self.hub.apply(config)
    }
}
