//! Order of reloads: one at a time, and one more after requests during a reload (DM-1308).

/// Maximum number of reloads that have not ended in time and still wait for a file. Each has a thread.
const MAX_OVERDUE: usize = 4;

/// Reloads that run, are requested, or have not ended in time.
#[derive(Debug, Default)]
pub(super) struct ReloadSchedule {
    running: Option<u64>,
    is_requested: bool,
    overdue: usize,
    last: u64,
}

/// Answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReloadRequest {
    /// The reload with this number starts.
    Start(u64),
    /// A reload is in progress, and another one follows it.
    Later,
    /// Too many reloads have not ended in time.
    Refused,
}

impl ReloadSchedule {
    /// Records a request.
    pub(super) fn request(&mut self) -> ReloadRequest {
        if self.running.is_some() {
            self.is_requested = true;
            return ReloadRequest::Later;
        }
        self.is_requested = false;
        if self.overdue >= MAX_OVERDUE {
            return ReloadRequest::Refused;
        }
        self.last += 1;
        self.running = Some(self.last);
        ReloadRequest::Start(self.last)
    }

    /// Records the end of a reload. Returns `true` if its result counts: it has ended in time.
    pub(super) fn finish(&mut self, number: u64) -> bool {
        let in_time = self.running == Some(number);
        if in_time {
            self.running = None;
        } else {
            self.overdue -= 1;
        }
        in_time
    }

    /// Records the deadline of a reload. Returns `true` if it has not ended.
    pub(super) fn expire(&mut self, number: u64) -> bool {
        let is_overdue = self.running == Some(number);
        if is_overdue {
            self.running = None;
            self.overdue += 1;
        }
        is_overdue
    }

    /// Returns `true` if a request came during the reload that has ended.
    pub(super) const fn is_requested(&self) -> bool {
        self.is_requested
    }

    /// Returns the number of reloads that have not ended in time.
    pub(super) const fn overdue(&self) -> usize {
        self.overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_during_a_reload_lead_to_one_more() {
        let mut schedule = ReloadSchedule::default();
        assert_eq!(schedule.request(), ReloadRequest::Start(1));
        assert!(!schedule.is_requested());
        assert_eq!(schedule.request(), ReloadRequest::Later);
        assert_eq!(schedule.request(), ReloadRequest::Later);
        assert!(schedule.finish(1) && schedule.is_requested());
        assert_eq!(schedule.request(), ReloadRequest::Start(2));
        assert!(!schedule.is_requested());
        assert!(schedule.finish(2) && !schedule.is_requested());
    }

    #[test]
    fn result_after_the_deadline_does_not_count() {
        let mut schedule = ReloadSchedule::default();
        assert_eq!(schedule.request(), ReloadRequest::Start(1));
        assert!(schedule.expire(1));
        assert_eq!(schedule.overdue(), 1);
        assert_eq!(schedule.request(), ReloadRequest::Start(2));
        assert!(!schedule.finish(1));
        assert_eq!(schedule.overdue(), 0);
        assert!(schedule.finish(2));
        assert!(
            !schedule.expire(2),
            "the deadline of a reload that has ended"
        );
    }

    #[test]
    fn overdue_reloads_are_bounded() {
        let mut schedule = ReloadSchedule::default();
        for number in 1..=MAX_OVERDUE as u64 {
            assert_eq!(schedule.request(), ReloadRequest::Start(number));
            assert!(schedule.expire(number));
        }
        assert_eq!(schedule.request(), ReloadRequest::Refused);
        assert!(!schedule.finish(2));
        assert!(matches!(schedule.request(), ReloadRequest::Start(_)));
    }
}
