//! How time passes, and what of it is the loop's own.

use crate::world::{World, note};
use eventry::MonotonicTime;
use std::time::Duration;

impl World {
    /// The clock goes on: to the next deadline, not so far, or beyond.
    pub(crate) fn let_time_pass(&mut self) {
        let next = self.next_time();
        let random = self
            .now
            .saturating_add(Duration::from_millis(self.rng.below(9_000) as u64));
        let to = match (self.rng.below(5), next) {
            (0, _) | (_, None) => random,
            (1, Some(next)) => random.min(next),
            (_, Some(next)) => next,
        };
        self.advance(to);
    }

    /// When something is due next.
    pub(crate) fn next_time(&self) -> Option<MonotonicTime> {
        let resting = self.resting.into_iter().flatten();
        resting
            .chain(self.timer)
            .chain(self.admit_at)
            .chain(self.grace_until)
            .min()
    }

    pub(crate) fn advance(&mut self, to: MonotonicTime) {
        let to = to.max(self.now);
        if self.timer.is_some_and(|timer| timer < to) {
            self.shared.borrow_mut().met.late += 1;
            for live in self.live.values() {
                live.client.borrow_mut().ledger.keepalive.was_late = true;
            }
        }
        self.now = to;
        note!(self, "time passes");
        self.end_rests();
        if self.grace_until.is_some_and(|until| until <= to) {
            self.shared.borrow_mut().met.grace_over += 1;
            self.stop_at_once();
        }
    }

    /// Gives free slots to waiting clients if that is due; returns `true` if it was.
    pub(crate) fn admit_in_time(&mut self) -> bool {
        let is_due = self.admit_at.is_some_and(|at| at <= self.now);
        if is_due {
            self.admit_waiting();
        }
        is_due
    }

    fn end_rests(&mut self) {
        for (index, resting) in self.resting.iter_mut().enumerate() {
            if resting.is_some_and(|until| until <= self.now) {
                *resting = None;
                self.admission.resume(index);
            }
        }
    }
}
