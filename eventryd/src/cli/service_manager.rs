//! Notifications to the service manager.

use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Service manager at `$NOTIFY_SOCKET`, if there is one (DM-109).
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager {
    /// Set when the start is complete. A reload before that sends no notification.
    is_started: Arc<AtomicBool>,
}

impl ServiceManager {
    /// Notifies that the start is complete.
    pub(super) fn notify_started(&self) {
        self.is_started.store(true, Ordering::Release);
        self.notify_ready();
    }

    pub(super) fn notify_ready(&self) {
        if self.is_started.load(Ordering::Acquire) {
            notify(&[NotifyState::Ready]);
        }
    }

    pub(super) fn notify_reloading(&self) {
        if !self.is_started.load(Ordering::Acquire) {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => {
                tracing::warn!("cannot read the clock for the reload notification: {error}")
            }
        }
    }

    /// Notifies that the daemon stops, which may take `grace` and a margin.
    pub(super) fn notify_stopping(grace: Duration) {
        /// Time for the shutdown after the last client.
        const MARGIN: Duration = Duration::from_secs(5);
        let micros = grace.saturating_add(MARGIN).as_micros();
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        notify(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
