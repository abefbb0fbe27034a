//! The detection of slow callbacks.
//!
//! Only the first [`SAMPLES`] calls of each turn are timed, so that the cost is negligible in a turn with many calls.
//! In a turn with few calls, the wait costs more than the measurements.

use super::Warning;
use crate::time::MonotonicTime;
use std::time::Duration;

/// The number of calls of a turn that are timed.
pub(super) const SAMPLES: u32 = 4;

/// The measured times of callbacks.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    /// The longest time by which the clock may lag.
    tick: Duration,
    /// The number of calls of this turn that are still to be timed.
    samples_left: u32,
    /// The number of calls that are timed in every turn.
    samples_per_turn: u32,
    /// The time when the turn began.
    began: MonotonicTime,
    /// An upper bound of the time when the next call begins.
    idle_since: MonotonicTime,
    /// The time when the last timed call was over, or the turn began.
    last_ended: MonotonicTime,
    /// True if a warning names a slow call of this turn.
    is_named: bool,
    longest: Longest,
}

/// The longest measured times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Longest {
    pub(crate) callback: Duration,
    pub(crate) turn: Duration,
}

impl Slow {
    /// Creates the measurement for a loop whose clock lags by up to `tick`.
    pub(super) fn new(tick: Duration) -> Slow {
        Slow {
            tick,
            samples_left: 0,
            samples_per_turn: SAMPLES,
            began: MonotonicTime::ZERO,
            idle_since: MonotonicTime::ZERO,
            last_ended: MonotonicTime::ZERO,
            is_named: false,
            longest: Longest::default(),
        }
    }

    /// Begins a turn at `now`, or up to one tick earlier.
    pub(super) fn turn_began(&mut self, now: MonotonicTime) {
        self.samples_left = self.samples_per_turn;
        self.began = now;
        self.idle_since = now;
        self.last_ended = now;
        self.is_named = false;
    }

    /// Returns the time when the turn began.
    pub(super) fn began(&self) -> MonotonicTime {
        self.began
    }

    /// Returns the number of calls of this turn that are still to be timed.
    #[inline]
    pub(super) fn samples_left(&self) -> u32 {
        self.samples_left
    }

    /// Counts a call that was timed.
    #[inline]
    pub(super) fn take_sample(&mut self) {
        self.samples_left = self.samples_left.saturating_sub(1);
    }

    /// Records that the drop of removed callbacks begins. `now` may be up to one tick too early.
    pub(super) fn free_began(&mut self, now: MonotonicTime) {
        self.idle_since = now.saturating_add(self.tick);
    }

    /// Records that a call, or the drop of removed callbacks, was over at `now` or later. Returns the time that it took
    /// if a warning is due.
    #[inline]
    pub(super) fn ended(&mut self, now: MonotonicTime, limit: Duration) -> Option<Duration> {
        let took = now.saturating_duration_since(self.idle_since);
        self.idle_since = now.saturating_add(self.tick);
        self.last_ended = now;
        if took > self.longest.callback {
            self.longest.callback = took;
        }
        if took < limit || took.is_zero() {
            return None;
        }
        self.is_named = true;
        Some(took)
    }

    /// Ends the calls of the turn. If not all of them were timed, `now` is read: the time when they ended, or up to one
    /// tick earlier.
    pub(super) fn turn_ended(
        &mut self,
        now: impl FnOnce() -> MonotonicTime,
        limit: Duration,
    ) -> Option<Warning> {
        let ended = if self.samples_left > 0 {
            self.last_ended
        } else {
            now()
        };
        let took = ended.saturating_duration_since(self.began);
        if took > self.longest.turn {
            self.longest.turn = took;
        }
        if took < limit || took.is_zero() {
            return None;
        }
        self.turn_was_slow(took)
    }

    /// Enables the timing of every call, and returns a warning, if no warning names the slow call.
    #[cold]
    fn turn_was_slow(&mut self, took: Duration) -> Option<Warning> {
        if self.is_named || self.samples_per_turn != SAMPLES {
            return None;
        }
        self.samples_per_turn = u32::MAX;
        Some(Warning::SlowTurn { took })
    }

    /// Returns the longest times measured so far.
    pub(super) fn longest(&self) -> Longest {
        self.longest
    }
}
