//! The stop of a daemon without clients (DM-1307).

use eventry::Registry;
use eventry::TimeoutId;
use std::time::Duration;

/// A timeout that runs while there is no client.
#[derive(Debug, Default)]
pub(super) struct Idle {
    interval: Option<Duration>,
    timeout: Option<TimeoutId>,
}

impl Idle {
    /// Adds the timeout, which calls `expired` after an interval without clients.
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

    /// Starts or stops the timeout after the number of clients has changed, unless it has ended.
    pub(super) fn update(&self, registry: &Registry, clients: usize) {
        if let Some(timeout) = self.timeout {
            let interval = self.interval.filter(|_| clients == 0);
            // The timeout is registered until the loop is dropped.
            let _ = registry.update_timeout(timeout, interval);
        }
    }

    /// Ends the timeout for good. It would fire again during an end that waits for a call, and that end would be cut short.
    pub(super) fn end(&mut self, registry: &Registry) {
        if let Some(timeout) = self.timeout.take() {
            // The timeout is registered until now.
            let _ = registry.remove_timeout(timeout);
        }
    }

    /// Changes the interval, which begins anew for a daemon without clients. The same interval goes on.
    pub(super) fn set_interval(
        &mut self,
        registry: &Registry,
        interval: Option<Duration>,
        clients: usize,
    ) {
        if self.interval != interval {
            self.interval = interval;
            self.update(registry, clients);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventry::EventLoop;

    #[test]
    fn timeout_runs_only_without_clients() {
        let mut event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        let mut idle = Idle::default();
        let stopper = event_loop.stopper();
        let (expire, expired) = std::sync::mpsc::channel();
        idle.begin(&registry, Some(Duration::from_millis(5)), move || {
            expire.send(()).unwrap();
            stopper.stop();
        });

        // With a client, a much later timeout ends the wait.
        idle.update(&registry, 1);
        let stopper = event_loop.stopper();
        let later = registry.add_timeout(Duration::from_millis(50), move |_| stopper.stop());
        event_loop.run().unwrap();
        assert!(expired.try_recv().is_err());

        let removed = registry.remove_timeout(later.unwrap());
        assert_eq!(removed, Ok(eventry::table::Removal::Idle));
        idle.update(&registry, 0);
        event_loop.run().unwrap();
        assert!(expired.try_recv().is_ok());
    }

    #[test]
    fn timeout_without_interval_runs_once_one_is_set() {
        let mut event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        let (expire, expired) = std::sync::mpsc::channel();
        let stopper = event_loop.stopper();
        let mut idle = Idle::default();
        idle.begin(&registry, None, move || {
            expire.send(()).unwrap();
            stopper.stop();
        });
        idle.update(&registry, 0);
        idle.set_interval(&registry, Some(Duration::from_millis(1)), 0);
        event_loop.run().unwrap();
        assert!(expired.try_recv().is_ok());
    }
}
