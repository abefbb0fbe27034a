//! Changes of a running daemon.

use super::client_table::ClientCounts;
use super::config::Config;
use super::error::DaemonError;
use super::reload::PreparedConfig;
use super::state::Server;
use std::sync::Arc;
use std::time::Duration;

/// A handle that changes a running daemon from any thread.
#[derive(Clone, Debug)]
pub struct Control {
    server: Arc<Server>,
}

impl Control {
    pub(super) fn new(server: Arc<Server>) -> Control {
        Control { server }
    }

    /// Reads passwords, keys and certificates for the settings that do not need a restart, and checks them. Changes
    /// nothing. It may block on a file, so it is not for the loop's thread. `waiting_for` receives the name of each part
    /// before it is read.
    ///
    /// # Errors
    /// [`DaemonError::Config`], [`DaemonError::Auth`] and [`DaemonError::Tls`].
    pub fn prepare(
        &self,
        config: &Config,
        waiting_for: impl Fn(String),
    ) -> Result<PreparedConfig, DaemonError> {
        self.server.prepare(config, &waiting_for)
    }

    /// Puts prepared settings in force: limits, times, passwords, keys, certificates and the policy for new connections.
    /// Sockets and authenticated clients do not change (DM-1306). On the loop's thread no client is served meanwhile.
    pub fn commit(&self, prepared: PreparedConfig) {
        self.server.commit(prepared);
    }

    /// Calls `work` on the loop's thread after `delay`, unless the daemon ends before. Returns `false` if the loop accepts
    /// no more work.
    pub fn run_on_loop(
        &self,
        delay: Duration,
        work: impl FnOnce(&Control) + Send + 'static,
    ) -> bool {
        let mut once = Some((work, self.clone()));
        let added = self.server.registry.add_timeout(delay, move |event| {
            // The timeout is registered until this call.
            let _ = event.registry.remove_timeout(event.id);
            if let Some((work, control)) = once.take() {
                work(&control);
            }
        });
        added.is_ok()
    }

    /// Returns the numbers of clients at this moment.
    #[must_use]
    pub fn client_counts(&self) -> ClientCounts {
        self.server.client_counts()
    }
}
