//! The end of a daemon that nobody uses (DM-1307).

use crate::id::TimeoutId;
use crate::registry::Registry;
use std::time::Duration;

/// A timeout that runs while there is no client.
#[derive(Debug, Default)]
pub(super) struct Idle {
    interval: Option<Duration>,
    timeout: Option<TimeoutId>,
}

impl Idle {
    /// Has `expired` called whenever there has been no client for the interval, from now on.
    pub(super) fn begin(
        &mut self,
        registry: &Registry,
        interval: Option<Duration>,
        mut expired: impl FnMut() + Send + 'static,
    ) {
        let added = registry.add_timeout(interval, move |_| expired());
        self.interval = interval;
        self.timeout = added.ok();
    }

    /// Takes note of how many clients there are after one has come or gone, or of another interval.
    pub(super) fn settle(&self, registry: &Registry, clients: usize) {
        if let Some(timeout) = self.timeout {
            let interval = self.interval.filter(|_| clients == 0);
            // It is registered as long as the loop lives.
            let _ = registry.update_timeout(timeout, interval);
        }
    }

    /// Sets another interval; [`settle`](Idle::settle) makes it count.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }
}
