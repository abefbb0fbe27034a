//! The delivery of warnings from the diagnostics to the hook of the loop.

use super::{Registry, State, trace};
use crate::diagnostics::{Warning, WarningHook, WarningLimits};
use crate::poller::{Poller, Registrar};
use crate::sync::yield_now;
use crate::time::MonotonicTime;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The effects of a change that must be applied without a lock.
#[must_use = "`Registry::finish` must apply it"]
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// True if the change woke the loop.
    pub(super) woke: bool,
    /// True if a check for overdue work is due.
    pub(super) checks: bool,
    /// True if the thread should yield, because it removes faster than the loop frees.
    pub(super) yields: bool,
}

impl<P: Poller> Registry<P> {
    /// Finishes a change. No lock may be held, because subscribers and the hook are user code.
    pub(crate) fn finish(&self, pending: Pending) {
        if pending.woke {
            trace::woken();
        }
        if pending.checks {
            self.check_overdue();
        }
        if pending.yields {
            yield_now();
        }
    }

    /// Checks for overdue work, calls the hook if a warning is due, and returns for how long work has been overdue.
    #[cold]
    pub(super) fn check_overdue(&self) -> Duration {
        let now = self.now();
        let is_running = self.shared.is_running.load(Ordering::Relaxed);
        let mut state = self.lock();
        let State {
            table, diagnostics, ..
        } = &mut *state;
        let waits = table.is_busy() || table.has_changes();
        let deadline = table.next_deadline_until(now);
        let (waited, warning) = diagnostics.check_overdue(now, deadline, waits, is_running);
        drop(state);
        if let Some(warning) = warning {
            self.warn(&warning);
        }
        waited
    }

    /// Records whether a thread runs the loop. Only the choice between two warnings depends on it.
    pub(crate) fn set_is_running(&self, is_running: bool) {
        self.shared.is_running.store(is_running, Ordering::Relaxed);
    }

    /// Traces a warning and calls the hook. No lock may be held.
    pub(crate) fn warn(&self, warning: &Warning) {
        trace::warned(warning);
        let hook = self.lock().diagnostics.hook.clone();
        if let Some(hook) = hook {
            hook(warning);
        }
    }

    pub(crate) fn set_warning_limits(&self, limits: WarningLimits) {
        self.lock().diagnostics.set_limits(limits);
    }

    /// Replaces the hook, and returns the previous one, to be dropped without the lock.
    pub(crate) fn set_warning_hook(&self, hook: WarningHook) -> Option<WarningHook> {
        self.lock().diagnostics.hook.replace(hook)
    }

    /// Returns the time of the coarse clock.
    pub(crate) fn coarse_now(&self) -> MonotonicTime {
        self.shared.registrar.coarse_now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;
    use crate::poller::model::{ModelPoller, ModelSource};
    use std::sync::Arc;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn check_overdue_counts_changes_that_wait_for_the_poller() {
        let (_poller, model) = ModelPoller::new();
        let registry: Registry<ModelPoller> = Registry::new(model.clone(), 0);
        registry
            .add_source(ModelSource(3), Events::READABLE, |_| {})
            .unwrap();
        assert_eq!(registry.check_overdue(), Duration::ZERO);
        model.advance(s(3));
        assert_eq!(registry.check_overdue(), s(3));
    }

    #[test]
    fn new_warning_limits_apply_at_once() {
        let (_poller, model) = ModelPoller::new();
        let registry: Registry<ModelPoller> = Registry::new(model.clone(), 0);
        let (sender, receiver) = std::sync::mpsc::channel();
        let hook = move |warning: &Warning| sender.send(*warning).unwrap();
        registry.set_warning_hook(Arc::new(hook));
        // The timeout becomes due under the old limit, which is longer.
        registry.add_timeout(s(0), |_| {}).unwrap();
        registry.set_warning_limits(WarningLimits {
            stalled_after: s(1),
            ..WarningLimits::default()
        });
        registry.check_overdue();
        model.advance(s(1));
        registry.check_overdue();
        let waited = s(1);
        let warnings: Vec<_> = receiver.try_iter().collect();
        assert_eq!(warnings, [Warning::NotRunning { waited }]);
    }

    #[test]
    fn coarse_now_returns_the_coarse_time_of_the_poller() {
        let (_poller, model) = ModelPoller::new();
        let registry: Registry<ModelPoller> = Registry::new(model.clone(), 0);
        model.advance(s(7));
        assert_eq!(
            registry.coarse_now(),
            MonotonicTime::from_nanos(7_000_000_000)
        );
    }
}
