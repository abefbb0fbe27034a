//! Changing a daemon that runs.

use super::Config;
use super::hub::Hub;
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

    /// Serves as `config` says from now on, as far as that is possible without another start: limits, times
    /// and what new connections may do. Sockets stay as they are (DM-1306).
    pub fn apply(&self, config: &Config) {
        self.hub.apply(config);
    }
}
