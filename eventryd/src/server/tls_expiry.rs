//! Announcements that certificates and revocation lists expire (DM-1213).

use crate::net::tls::{ExpiryCheck, ExpiryWatch, TlsContext};
use crate::sync::Mutex;
use eventry::{Registry, TimeoutId};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The watch for the keys and certificates in force, and its timeout.
#[derive(Debug)]
pub(super) struct TlsExpiry {
    /// The time since 1970.
    clock: fn() -> Duration,
    watch: Mutex<ExpiryWatch>,
    timeout: OnceLock<TimeoutId>,
}

impl TlsExpiry {
    pub(super) fn new(clock: fn() -> Duration) -> Arc<TlsExpiry> {
        Arc::new(TlsExpiry {
            clock,
            watch: Mutex::default(),
            timeout: OnceLock::new(),
        })
    }

    /// Returns the clock that the dates of certificates are compared with.
    pub(super) fn clock(&self) -> fn() -> Duration {
        self.clock
    }

    /// Adds the timeout of the announcements. The first ones are due in the first turn of the loop.
    pub(super) fn begin(self: &Arc<TlsExpiry>, registry: &Registry) {
        let expiry = Arc::clone(self);
        let added = registry.add_timeout(Duration::ZERO, move |event| {
            let next = expiry.announce();
            // The timeout is registered until the loop is dropped.
            let _ = event.registry.update_timeout(event.id, next);
        });
        match added {
            Ok(timeout) => drop(self.timeout.set(timeout)),
            Err(error) => tracing::error!("cannot announce the expiry of certificates: {error}"),
        }
    }

    /// Watches the keys and certificates of a new context instead of the earlier ones. What is near its expiry is
    /// announced in the next turn of the loop.
    pub(super) fn replace(&self, registry: &Registry, context: &TlsContext) {
        *self.watch.lock() = context.expiry_watch();
        if let Some(timeout) = self.timeout.get() {
            // The timeout is registered until the loop is dropped.
            let _ = registry.update_timeout(*timeout, Some(Duration::ZERO));
        }
    }

    /// Logs the announcements that are due. Returns the time until the next check.
    fn announce(&self) -> Option<Duration> {
        let now = (self.clock)();
        let ExpiryCheck { warnings, next } = self.watch.lock().check(now);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        next
    }
}
