//! Work that waits although it is due, because no thread runs the loop or a callback blocks it.
//!
//! Only the threads that call the registry can notice that, and it must not cost them anything: a call that
//! has read the clock anyway compares the time with one other, and of the other calls one in [`CHECK_EVERY`]
//! reads the clock.

use crate::time::MonotonicTime;
use std::time::Duration;

/// One in this many changes of the table checks for overdue work.
pub(super) const CHECK_EVERY: u64 = 64;

/// The work that waits, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Overdue {
    /// No check is needed before this time; unknown until a time is first mentioned.
    quiet_until: Option<MonotonicTime>,
    /// The time since when something is known to wait that has no time of its own: entries to free, refusals to
    /// report, changes for the poller.
    waiting_since: Option<MonotonicTime>,
    /// Whether a warning was given since the last turn.
    is_reported: bool,
}

impl Overdue {
    /// Notes that a turn has begun at `now`, which does whatever waited.
    pub(super) fn turn_began(&mut self, now: MonotonicTime, limit: Duration) {
        self.quiet_until = Some(now.saturating_add(limit));
        self.waiting_since = None;
        self.is_reported = false;
    }

    /// Puts a new limit into force, from the next time that is mentioned on.
    pub(super) fn limit_changed(&mut self) {
        self.quiet_until = None;
    }

    /// Decides whether a check is due.
    #[inline]
    pub(super) fn is_check_due(&mut self, now: MonotonicTime, limit: Duration) -> bool {
        now > *self.quiet_until.get_or_insert(now.saturating_add(limit))
    }

    /// Checks for work that waits at `now`, given the time when the first timeout is due and whether anything
    /// else waits. Returns how long something has been due, and whether that calls for a warning.
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
        // Changes that have cancelled each other out wait for nothing.
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
