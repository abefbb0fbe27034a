//! The deadlines of all clients, for one timeout of the loop.

use eventry::MonotonicTime;
use std::collections::BTreeSet;

/// The maximum number of due clients of one call, so that other callbacks are called.
const DUE_BUDGET: usize = 256;

/// The deadlines of all clients, for one timeout of the loop.
///
/// A later deadline, which every byte of a client causes, is not recorded: at the earlier deadline the client is
/// due and reports its current one. A busy client therefore causes no work here.
///
/// ```
/// use eventry::MonotonicTime;
/// use eventryd::server::DeadlineQueue;
///
/// let (early, late) = (MonotonicTime::from_nanos(1), MonotonicTime::from_nanos(2));
/// let mut queue = DeadlineQueue::default();
/// let scheduled = queue.schedule(7, None, Some(early));
/// assert_eq!((scheduled, queue.arm()), (Some(early), Some(early)));
/// assert_eq!(queue.schedule(7, scheduled, Some(late)), Some(early));
/// assert_eq!(queue.due(early), [7]);
/// assert_eq!(queue.rearm(), None);
/// ```
#[derive(Debug, Default)]
pub struct DeadlineQueue {
    /// At most one entry for each client.
    entries: BTreeSet<(MonotonicTime, u64)>,
    /// The time for which the timeout is set, if it is.
    armed: Option<MonotonicTime>,
}

impl DeadlineQueue {
    /// Schedules `client` for `next` or earlier. `scheduled` is the result of the last call for the client, and the
    /// result is the argument of the next call. Call [`arm`](Self::arm) afterwards.
    pub fn schedule(
        &mut self,
        client: u64,
        scheduled: Option<MonotonicTime>,
        next: Option<MonotonicTime>,
    ) -> Option<MonotonicTime> {
        let is_early = |next: &MonotonicTime| scheduled.is_some_and(|scheduled| scheduled <= *next);
        let Some(at) = next.filter(|next| !is_early(next)) else {
            return scheduled;
        };
        self.forget(client, scheduled);
        self.entries.insert((at, client));
        Some(at)
    }

    /// Removes the entry of a client.
    pub fn forget(&mut self, client: u64, scheduled: Option<MonotonicTime>) {
        if let Some(scheduled) = scheduled {
            self.entries.remove(&(scheduled, client));
        }
    }

    /// Removes and returns the clients that are due at `now`.
    pub fn due(&mut self, now: MonotonicTime) -> Vec<u64> {
        let mut due = Vec::new();
        while due.len() < DUE_BUDGET && self.first().is_some_and(|first| first <= now) {
            due.extend(self.entries.pop_first().map(|(_, client)| client));
        }
        due
    }

    /// Returns the time for the timeout, if it is not set early enough.
    pub fn arm(&mut self) -> Option<MonotonicTime> {
        let first = self.first()?;
        let is_late = self.armed.is_none_or(|armed| first < armed);
        is_late.then(|| *self.armed.insert(first))
    }

    /// Returns the time for the timeout after it has fired and all due clients were called; `None` disables it.
    pub fn rearm(&mut self) -> Option<MonotonicTime> {
        self.armed = None;
        self.arm()
    }

    /// Returns the first deadline.
    #[must_use]
    pub fn first(&self) -> Option<MonotonicTime> {
        self.entries.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> MonotonicTime {
        MonotonicTime::from_nanos(nanos)
    }

    #[test]
    fn schedule_keeps_one_entry_which_only_comes_nearer() {
        let mut queue = DeadlineQueue::default();
        let mut scheduled = None;
        for (next, expected) in [
            (None, None),
            (Some(at(9)), Some(at(9))),
            (Some(at(12)), Some(at(9))),
            (None, Some(at(9))),
            (Some(at(4)), Some(at(4))),
        ] {
            scheduled = queue.schedule(1, scheduled, next);
            assert_eq!(scheduled, expected);
        }
        assert_eq!(queue.due(at(100)), [1]);
        assert_eq!(queue.due(at(100)), [0; 0]);
    }

    #[test]
    fn timeout_follows_the_first_deadline() {
        let mut queue = DeadlineQueue::default();
        let first = queue.schedule(1, None, Some(at(9)));
        assert_eq!(queue.arm(), Some(at(9)));
        queue.schedule(2, None, Some(at(9)));
        queue.schedule(3, None, Some(at(20)));
        assert_eq!(queue.arm(), None);
        queue.schedule(1, first, Some(at(5)));
        assert_eq!(queue.arm(), Some(at(5)));
        assert_eq!(queue.due(at(5)), [1]);
        assert_eq!(queue.rearm(), Some(at(9)));
        assert_eq!(queue.due(at(9)), [2]);
        queue.forget(3, Some(at(20)));
        assert_eq!((queue.rearm(), queue.first()), (None, None));
    }

    /// DM-808: a client with more messages than one turn takes is due again at the time of its turn.
    #[test]
    fn clients_that_are_due_again_delay_no_other() {
        let mut queue = DeadlineQueue::default();
        let last = 2 * DUE_BUDGET as u64;
        for client in 0..=last {
            queue.schedule(client, None, Some(at(1)));
        }
        for now in 2..=4 {
            let due = queue.due(at(now));
            if due.contains(&last) {
                return;
            }
            for client in due {
                queue.schedule(client, None, Some(at(now)));
            }
        }
        panic!("the last client is not due within three turns");
    }

    #[test]
    fn clients_beyond_the_budget_are_due_in_the_next_turn() {
        let mut queue = DeadlineQueue::default();
        for client in 0..=DUE_BUDGET as u64 {
            queue.schedule(client, None, Some(at(1)));
        }
        assert_eq!(queue.due(at(1)).len(), DUE_BUDGET);
        assert_eq!(queue.rearm(), Some(at(1)));
        assert_eq!(queue.due(at(1)), [DUE_BUDGET as u64]);
    }
}
