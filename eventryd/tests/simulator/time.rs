//! The virtual clock, and the timeouts of the loop.

use crate::world::{World, trace};
use eventry::MonotonicTime;
use std::time::Duration;

impl World {
    /// Advances the clock to the next deadline, to an earlier or to a later time.
    pub(crate) fn advance_clock(&mut self) {
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

    /// Returns the time of the next deadline.
    pub(crate) fn next_time(&self) -> Option<MonotonicTime> {
        let suspended_until = self.suspended_until.into_iter().flatten();
        suspended_until
            .chain(self.timer)
            .chain(self.admit_at)
            .chain(self.grace_until)
            .min()
    }

    pub(crate) fn advance(&mut self, to: MonotonicTime) {
        let to = to.max(self.now);
        if self.timer.is_some_and(|timer| timer < to) {
            self.shared.borrow_mut().counts.late += 1;
            for served in self.served.values() {
                served.client.borrow_mut().ledger.keepalive.was_late = true;
            }
        }
        self.now = to;
        trace!(self, "time passes");
        self.resume_services();
        if self.grace_until.is_some_and(|until| until <= to) {
            self.shared.borrow_mut().counts.grace_over += 1;
            self.stop_now();
        }
    }

    /// Admits waiting clients if that is due; returns `true` if it was.
    pub(crate) fn admit_in_time(&mut self) -> bool {
        let is_due = self.admit_at.is_some_and(|at| at <= self.now);
        if is_due {
            self.admit_waiting();
        }
        is_due
    }

    fn resume_services(&mut self) {
        for (index, suspended_until) in self.suspended_until.iter_mut().enumerate() {
            if suspended_until.is_some_and(|until| until <= self.now) {
                *suspended_until = None;
                self.admission.resume(index);
            }
        }
    }
}
