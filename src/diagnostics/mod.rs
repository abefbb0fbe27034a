//! Diagnostics: slow callbacks, handles that make no progress, overdue work, a loop that is not running.
//!
//! `Diagnostics` makes every decision. It is a plain value with time as an argument. The registry keeps one under its
//! lock, records the changes of the table and the calls of the loop in it, and passes its warnings to the hook of the
//! loop.

mod no_progress;
mod overdue;
mod slow;
#[cfg(test)]
mod tests;
mod warning;

pub use warning::{Warning, WarningLimits};

use crate::events::Events;
use crate::id::CallbackId;
use crate::time::MonotonicTime;
use no_progress::NoProgress;
use overdue::{CHECK_EVERY, Overdue};
use slow::{Longest, Slow};
use std::sync::Arc;
use std::time::Duration;

/// The hook that is called with each warning.
pub(crate) type WarningHook = Arc<dyn Fn(&Warning) + Send + Sync>;

/// The diagnostics of one loop.
pub(crate) struct Diagnostics {
    limits: WarningLimits,
    /// The number of changes of the table that had been made when the last call was timed, or the turn began.
    changes_seen: u64,
    slow: Slow,
    no_progress: NoProgress,
    overdue: Overdue,
    /// The warnings of this turn.
    warnings: Vec<Warning>,
    pub(crate) hook: Option<WarningHook>,
}

/// A call that was timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The callback that was called.
    pub(crate) callback: CallbackId,
    /// The events that it was called with; none for a timeout.
    pub(crate) events: Events,
    /// The number of changes of the table when it returned.
    pub(crate) changes: u64,
    /// The time when it returned, or up to one tick earlier.
    pub(crate) ended: MonotonicTime,
}

impl Diagnostics {
    /// Creates the diagnostics of a loop whose coarse clock lags by up to `tick`.
    pub(crate) fn new(tick: Duration) -> Diagnostics {
        Diagnostics {
            limits: WarningLimits::default(),
            changes_seen: 0,
            slow: Slow::new(tick),
            no_progress: NoProgress::default(),
            overdue: Overdue::default(),
            warnings: Vec::new(),
            hook: None,
        }
    }

    /// Sets the limits. They apply to the next check for overdue work, too.
    pub(crate) fn set_limits(&mut self, limits: WarningLimits) {
        self.limits = limits;
        self.overdue.limit_changed();
    }

    /// Records a change of the table, one of `changes` so far, with the time if the caller has read the clock. Returns
    /// whether a [check for overdue work](Diagnostics::check_overdue) is due.
    #[inline]
    pub(crate) fn changed(&mut self, now: Option<MonotonicTime>, changes: u64) -> bool {
        let limit = self.limits.stalled_after;
        let is_due = now.is_some_and(|now| self.overdue.is_check_due(now, limit));
        is_due || changes % CHECK_EVERY == 0
    }

    /// Checks for overdue work at `now`. `deadline` is the time when the first timeout is due, `waits` is true if other
    /// work waits, and `is_running` is true if a thread runs the loop. Returns for how long work has been overdue, and
    /// the warning to give.
    pub(crate) fn check_overdue(
        &mut self,
        now: MonotonicTime,
        deadline: Option<MonotonicTime>,
        waits: bool,
        is_running: bool,
    ) -> (Duration, Option<Warning>) {
        let limit = self.limits.stalled_after;
        let checked = self.overdue.check(now, deadline, waits, limit);
        let Some((waited, should_warn)) = checked else {
            return (Duration::ZERO, None);
        };
        let warning = should_warn.then_some(if is_running {
            Warning::Blocked { waited }
        } else {
            Warning::NotRunning { waited }
        });
        (waited, warning)
    }

    /// Records that a turn has begun at `now`, or up to `lag` later, after so many changes of the table.
    pub(crate) fn turn_began(&mut self, now: MonotonicTime, lag: Duration, changes: u64) {
        self.changes_seen = changes;
        self.slow.turn_began(now.saturating_add(lag));
        self.overdue.turn_began(now, self.limits.stalled_after);
    }

    /// Returns the number of the next calls of this turn that must be timed.
    #[inline]
    pub(crate) fn samples_left(&self) -> u32 {
        self.slow.samples_left()
    }

    /// Records the next call of the turn, which was timed.
    #[inline]
    pub(crate) fn call_ended(&mut self, sample: Sample) {
        let Sample {
            callback,
            events,
            changes,
            ended,
        } = sample;
        self.slow.take_sample();
        let seen = std::mem::replace(&mut self.changes_seen, changes);
        if let CallbackId::Handle(handle) = callback {
            let changed = seen != changes;
            self.no_progress
                .called(handle, events, changed, self.slow.began());
        }
        self.ended(callback, ended);
    }

    /// Records that the drop of removed callbacks begins. `now` may be up to one tick too early.
    pub(crate) fn free_began(&mut self, now: MonotonicTime) {
        self.slow.free_began(now);
    }

    /// Records that the drop of removed callbacks has ended at `now` or later.
    pub(crate) fn free_ended(&mut self, now: MonotonicTime) {
        self.ended(CallbackId::Free, now);
    }

    #[inline]
    fn ended(&mut self, callback: CallbackId, now: MonotonicTime) {
        if let Some(took) = self.slow.ended(now, self.limits.slow_callback) {
            self.warnings.push(Warning::SlowCallback { callback, took });
        }
    }

    /// Ends the calls of the turn, and returns the warnings to give. If not all calls were recorded, `now` is read: the
    /// time when they ended, or up to one tick earlier.
    pub(crate) fn turn_ended(&mut self, now: impl FnOnce() -> MonotonicTime) -> Vec<Warning> {
        if let Some(slow) = self.slow.turn_ended(now, self.limits.slow_callback) {
            self.warnings.push(slow);
        }
        let limit = self.limits.no_progress;
        if let Some(no_progress) = self.no_progress.turn_ended(self.slow.began(), limit) {
            self.warnings.push(no_progress);
        }
        std::mem::take(&mut self.warnings)
    }

    /// Returns the longest times measured so far.
    pub(crate) fn longest(&self) -> Longest {
        self.slow.longest()
    }
}
