//! Changing a daemon that runs.

use super::Config;
use super::hub::Hub;
use crate::auth::AuthError;
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
    /// what new connections may do, and the passwords, which are read again. Sockets stay as they are, and so
    /// do clients that have authenticated (DM-1306).
    ///
    /// # Errors
    /// [`AuthError`]; nothing has changed then.
    pub fn apply(&self, config: &Config) -> Result<(), AuthError> {
        self.hub.apply(config)
    }
}
