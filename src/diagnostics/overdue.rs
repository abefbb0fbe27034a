//! Overdue work, which waits because no thread runs the loop or a callback blocks it.
//!
//! Only the threads that call the registry can detect it, and the cost must be negligible: a call that has read the
//! clock anyway makes one comparison, and of the other calls one in [`CHECK_EVERY`] reads the clock.

use crate::time::MonotonicTime;
use std::time::Duration;

/// The number of changes of the table for each check for overdue work.
pub(super) const CHECK_EVERY: u64 = 64;

/// The state of the check for overdue work.
#[derive(Clone, Debug, Default)]
pub(super) struct Overdue {
    /// The time before which no check is needed, or `None` until the first time is known.
    quiet_until: Option<MonotonicTime>,
    /// The time of the first check that found waiting work without a deadline: entries to free, refusals to report,
    /// changes for the poller.
    waiting_since: Option<MonotonicTime>,
    /// True if a warning was given since the last turn.
    is_reported: bool,
}

impl Overdue {
    /// Records that a turn has begun at `now`. The turn does all work that waits.
    pub(super) fn turn_began(&mut self, now: MonotonicTime, limit: Duration) {
        self.quiet_until = Some(now.saturating_add(limit));
        self.waiting_since = None;
        self.is_reported = false;
    }

    /// Applies a new limit from the next known time on.
    pub(super) fn limit_changed(&mut self) {
        self.quiet_until = None;
    }

    /// Decides whether a check is due.
    #[inline]
    pub(super) fn is_check_due(&mut self, now: MonotonicTime, limit: Duration) -> bool {
        now > *self.quiet_until.get_or_insert(now.saturating_add(limit))
    }

    /// Checks for overdue work at `now`. `deadline` is the time when the first timeout is due, and `waits` is true if
    /// other work waits. Returns for how long work has been overdue, and whether a warning is due.
    pub(super) fn check(
        &mut self,
        now: MonotonicTime,
        deadline: Option<MonotonicTime>,
        waits: bool,
        limit: Duration,
    ) -> Option<(Duration, bool)> {
        self.quiet_until = Some(now.saturating_add(limit));
        self.waiting_since = waits.then(|| self.waiting_since.unwrap_or(now));
        let due = deadline.filter(|deadline| *deadline <= now);
        let since = match (due, self.waiting_since) {
            (Some(due), Some(waiting)) => due.min(waiting),
            (due, waiting) => due.or(waiting)?,
        };
        let waited = now.saturating_duration_since(since);
        let should_warn = waited >= limit && !self.is_reported;
        self.is_reported |= should_warn;
        Some((waited, should_warn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = s(10);

    const fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::from_nanos(seconds * 1_000_000_000)
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn check(
        overdue: &mut Overdue,
        now: u64,
        due: Option<u64>,
        waits: bool,
    ) -> Option<(Duration, bool)> {
        overdue.check(at(now), due.map(at), waits, LIMIT)
    }

    #[test]
    fn due_timeout_is_reported_once_from_its_deadline_on() {
        let mut overdue = Overdue::default();
        assert_eq!(check(&mut overdue, 4, Some(5), false), None);
        assert_eq!(check(&mut overdue, 6, Some(5), false), Some((s(1), false)));
        assert_eq!(check(&mut overdue, 15, Some(5), false), Some((s(10), true)));
        let again = check(&mut overdue, 16, Some(5), false);
        assert_eq!(again, Some((s(11), false)));
        overdue.turn_began(at(17), LIMIT);
        let after_a_turn = check(&mut overdue, 30, Some(20), false);
        assert_eq!(after_a_turn, Some((s(10), true)));
    }

    #[test]
    fn work_without_a_deadline_waits_since_the_first_check() {
        let mut overdue = Overdue::default();
        assert_eq!(check(&mut overdue, 4, None, true), Some((s(0), false)));
        assert_eq!(check(&mut overdue, 14, None, true), Some((s(10), true)));
        assert_eq!(check(&mut overdue, 15, Some(1), true), Some((s(14), false)));
        // Changes that cancel each other out are no waiting work.
        assert_eq!(check(&mut overdue, 16, None, false), None);
        assert_eq!(check(&mut overdue, 17, None, true), Some((s(0), false)));
    }

    #[test]
    fn no_check_is_due_before_the_limit_has_passed() {
        let mut overdue = Overdue::default();
        assert!(!overdue.is_check_due(at(3), LIMIT));
        assert!(!overdue.is_check_due(at(13), LIMIT));
        assert!(overdue.is_check_due(at(14), LIMIT));
        overdue.turn_began(at(20), LIMIT);
        assert!(!overdue.is_check_due(at(30), LIMIT));
        check(&mut overdue, 31, None, false);
        assert!(!overdue.is_check_due(at(41), LIMIT));
        assert!(overdue.is_check_due(at(42), LIMIT));
    }
}
