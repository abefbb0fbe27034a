//! Which client is to be called next because time passes.

use eventry::Time;
use std::collections::BTreeSet;

/// How many clients are called at a time at most, so that others get their turn.
const BUDGET: usize = 256;

/// The deadlines of all clients, for one timer.
///
/// A deadline that moves away, as it does with every byte that a client sends, is not told: when the earlier
/// one comes, the client is asked again. So a busy client costs nothing here, and an idle one an entry.
///
/// ```
/// use eventry::Time;
/// use eventryd::flow::Agenda;
///
/// let (early, late) = (Time::from_nanos(1), Time::from_nanos(2));
/// let mut agenda = Agenda::default();
/// let scheduled = agenda.schedule(7, None, Some(early));
/// assert_eq!((scheduled, agenda.arm()), (Some(early), Some(early)));
/// assert_eq!(agenda.schedule(7, scheduled, Some(late)), Some(early));
/// assert_eq!(agenda.due(early), [7]);
/// assert_eq!(agenda.rearm(), None);
/// ```
#[derive(Debug, Default)]
pub struct Agenda {
    /// At most one for each client.
    entries: BTreeSet<(Time, u64)>,
    /// When the timer fires, if it is set.
    armed: Option<Time>,
}

impl Agenda {
    /// Whether a client that was scheduled so is called early enough for its next deadline.
    #[must_use]
    pub fn is_in_time(scheduled: Option<Time>, next: Option<Time>) -> bool {
        next.is_none_or(|next| scheduled.is_some_and(|scheduled| scheduled <= next))
    }

    /// Has `client` called at `next` at the latest, where `scheduled` is what came of that the last time.
    /// Returns what is to be said the next time. The timer may have to be set: see [`arm`](Self::arm).
    pub fn schedule(
        &mut self,
        client: u64,
        scheduled: Option<Time>,
        next: Option<Time>,
    ) -> Option<Time> {
        let Some(at) = next.filter(|_| !Agenda::is_in_time(scheduled, next)) else {
            return scheduled;
        };
        self.forget(client, scheduled);
        self.entries.insert((at, client));
        Some(at)
    }

    /// Forgets a client.
    pub fn forget(&mut self, client: u64, scheduled: Option<Time>) {
        if let Some(scheduled) = scheduled {
            self.entries.remove(&(scheduled, client));
        }
    }

    /// Takes out whoever is due at `now`; they are scheduled no more.
    pub fn due(&mut self, now: Time) -> Vec<u64> {
        let mut due = Vec::new();
        while due.len() < BUDGET && self.first().is_some_and(|first| first <= now) {
            due.extend(self.entries.pop_first().map(|(_, client)| client));
        }
        due
    }

    /// When to set the timer to, if it is not set early enough.
    pub fn arm(&mut self) -> Option<Time> {
        let first = self.first()?;
        let is_late = self.armed.is_none_or(|armed| first < armed);
        is_late.then(|| *self.armed.insert(first))
    }

    /// When to set the timer to after it has fired, and those that were due have been called; `None` if it is
    /// to be off.
    pub fn rearm(&mut self) -> Option<Time> {
        self.armed = None;
        self.arm()
    }

    /// When somebody is due next, if ever.
    #[must_use]
    pub fn first(&self) -> Option<Time> {
        self.entries.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_client_has_one_entry_which_only_comes_nearer() {
        let mut agenda = Agenda::default();
        let mut scheduled = None;
        for (next, expected) in [
            (None, None),
            (Some(at(9)), Some(at(9))),
            (Some(at(12)), Some(at(9))),
            (None, Some(at(9))),
            (Some(at(4)), Some(at(4))),
        ] {
            scheduled = agenda.schedule(1, scheduled, next);
            assert_eq!(scheduled, expected);
        }
        assert_eq!(agenda.due(at(100)), [1]);
        assert_eq!(agenda.due(at(100)), [0; 0]);
    }

    #[test]
    fn the_timer_is_set_when_the_first_deadline_comes_nearer_and_after_it_has_fired() {
        let mut agenda = Agenda::default();
        let first = agenda.schedule(1, None, Some(at(9)));
        assert_eq!(agenda.arm(), Some(at(9)));
        agenda.schedule(2, None, Some(at(9)));
        agenda.schedule(3, None, Some(at(20)));
        assert_eq!(agenda.arm(), None);
        agenda.schedule(1, first, Some(at(5)));
        assert_eq!(agenda.arm(), Some(at(5)));
        assert_eq!(agenda.due(at(5)), [1]);
        assert_eq!(agenda.rearm(), Some(at(9)));
        assert_eq!(agenda.due(at(9)), [2]);
        agenda.forget(3, Some(at(20)));
        assert_eq!((agenda.rearm(), agenda.first()), (None, None));
    }

    #[test]
    fn those_who_are_too_many_at_a_time_are_due_the_next() {
        let mut agenda = Agenda::default();
        for client in 0..=BUDGET as u64 {
            agenda.schedule(client, None, Some(at(1)));
        }
        assert_eq!(agenda.due(at(1)).len(), BUDGET);
        assert_eq!(agenda.rearm(), Some(at(1)));
        assert_eq!(agenda.due(at(1)), [BUDGET as u64]);
    }
}
