//! The effects of a change of the table, and the sleep state of the loop, from which the wake follows.

use super::Table;
use crate::time::MonotonicTime;

/// The actions that a change of the table requires outside of it.
///
/// Every operation that threads may call at any time returns one. The table decides, the caller acts.
#[derive(Debug)]
#[must_use = "the change takes effect only when its effects are applied"]
pub struct Effects<'a, S> {
    /// The source of a descriptor that must be deregistered from the poller before the next operation on the
    /// table: the caller of the removal may close the descriptor next (EV-713).
    pub deregister: Option<&'a S>,
    /// True if the loop must be woken because it would sleep past work that is due. One wake per sleep is enough,
    /// so only one change during a sleep sets it.
    pub wake: bool,
    /// True if many removed entries wait for their free call, so that a thread other than the loop's should yield.
    /// Without the yield, the thread delays the loop's other work, and the number of waiting entries grows. Only
    /// one removal in many thousands sets it, because the duration of a yield depends on the load of the machine.
    pub yield_to_loop: bool,
}

/// The number of removed entries from which on the loop is considered too slow for the removals.
const MANY_FREES: usize = 16384;

/// The sleep state of the loop, which decides whether a change must wake it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// The loop examines the table before it sleeps again.
    Awake,
    /// The loop waits, or is about to wait, until this time at most.
    Until(Option<MonotonicTime>),
}

impl<P, S> Table<P, S> {
    /// Records that the loop goes to sleep, until `until` at most.
    pub fn fall_asleep(&mut self, until: Option<MonotonicTime>) {
        self.sleep = Sleep::Until(until);
    }

    /// Records that the loop is awake: it examines the table before it sleeps again.
    pub fn wake_up(&mut self) {
        self.sleep = Sleep::Awake;
    }

    /// Requests a stop of the loop. The request stays until it is [taken](Table::take_stop) (EV-907).
    pub fn request_stop(&mut self) -> Effects<'_, S> {
        self.stop = true;
        self.effects()
    }

    /// Returns whether a stop is requested.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop
    }

    /// Returns whether a stop is requested, and clears the request.
    pub fn take_stop(&mut self) -> bool {
        std::mem::take(&mut self.stop)
    }

    /// Returns the effects of an addition or an update.
    #[inline]
    pub(super) fn effects(&mut self) -> Effects<'_, S> {
        Effects {
            deregister: None,
            wake: self.wakes(),
            yield_to_loop: false,
        }
    }

    /// Returns the effects of a removal. `unwatched` is the slot of the removed handle if its removal ended the
    /// registration of its descriptor.
    #[inline]
    pub(super) fn effects_of_removal(&mut self, unwatched: Option<u32>) -> Effects<'_, S> {
        let wake = self.wakes();
        Effects {
            deregister: unwatched.map(|slot| self.source(slot)),
            wake,
            yield_to_loop: self.frees.len() % MANY_FREES == 0,
        }
    }

    /// Decides whether the change just made must wake the loop.
    #[inline]
    fn wakes(&mut self) -> bool {
        match self.sleep {
            Sleep::Awake => false,
            Sleep::Until(until) => self.must_wake(until),
        }
    }

    /// Decides whether the loop, which sleeps until `until`, would sleep past work that is due. If so, it counts as
    /// awake from then on.
    #[cold]
    fn must_wake(&mut self, until: Option<MonotonicTime>) -> bool {
        let deadline = self.next_deadline_until(until.unwrap_or(MonotonicTime::FAR_FUTURE));
        let nearer = deadline.is_some_and(|deadline| until.is_none_or(|until| deadline < until));
        let wake = nearer || self.has_changes() || self.stop || self.is_busy();
        if wake {
            self.sleep = Sleep::Awake;
        }
        wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;
    use crate::id::{HandleId, TimeoutId};
    use crate::table::Change;
    use std::time::Duration;

    const fn at(nanos: u64) -> MonotonicTime {
        MonotonicTime::from_nanos(nanos)
    }

    const fn after(nanos: u64) -> Option<Duration> {
        Some(Duration::from_nanos(nanos))
    }

    /// Returns a table with a handle that is registered with the poller and a timeout that is due at 10.
    fn table() -> (Table<&'static str, i32>, HandleId, TimeoutId) {
        let mut table = Table::new(0);
        let (handle, _) = table.add_handle(3, 33, Events::READABLE, "handle").unwrap();
        let (timeout, _) = table.add_timeout(at(0), after(10), "timeout").unwrap();
        while table.next_change().is_some() {}
        (table, handle, timeout)
    }

    // EV-901: work that the loop would sleep past wakes it, once per sleep.
    #[test]
    fn only_one_change_per_sleep_wakes_the_loop() {
        let (mut table, handle, timeout) = table();
        table.fall_asleep(Some(at(10)));
        let later = table.update_timeout(timeout, at(0), after(20)).unwrap();
        assert!(!later.wake, "a postponed deadline does not wake the loop");
        let nearer = table.update_timeout(timeout, at(0), after(9)).unwrap();
        assert!(nearer.wake, "an earlier deadline wakes the loop");
        assert!(
            !table.request_stop().wake,
            "a loop that was woken counts as awake"
        );

        for sleeps_until in [None, Some(at(9))] {
            table.take_stop();
            table.fall_asleep(sleeps_until);
            assert!(table.request_stop().wake, "a stop wakes the loop");
            assert!(table.is_stopping());
        }
        table.take_stop();
        table.fall_asleep(Some(at(9)));
        let changed = table.update_handle(handle, Events::WRITABLE).unwrap();
        assert!(changed.wake, "a change for the poller wakes the loop");
        while table.next_change().is_some() {}
        table.fall_asleep(Some(at(9)));
        let (_, removed) = table.remove_timeout(timeout).unwrap();
        assert!(removed.wake, "an entry to free wakes the loop");
    }

    #[test]
    fn change_while_awake_does_not_wake_the_loop() {
        let (mut table, handle, _) = table();
        table.fall_asleep(None);
        table.wake_up();
        let (_, effects) = table.remove_handle(handle).unwrap();
        assert!(!effects.wake);
    }

    // EV-713: a change of the interest in a descriptor may wait, the removal of its last handle may not.
    #[test]
    fn the_last_removal_deregisters_the_descriptor() {
        let (mut table, first, _) = table();
        let (second, _) = table.add_handle(3, 44, Events::WRITABLE, "second").unwrap();
        while table.next_change().is_some() {}
        let (_, effects) = table.remove_handle(first).unwrap();
        assert_eq!(effects.deregister, None);
        let (_, effects) = table.remove_handle(second).unwrap();
        assert_eq!(effects.deregister, Some(&44));
        assert!(
            table.next_change().is_none(),
            "the descriptor is deregistered once"
        );
        let (third, _) = table.add_handle(3, 55, Events::WRITABLE, "third").unwrap();
        assert!(matches!(table.next_change(), Some(Change::Register { .. })));
        let effects = table.update_handle(third, Events::NONE).unwrap();
        assert_eq!(
            effects.deregister, None,
            "the deregistration of a disabled handle may wait"
        );
    }

    #[test]
    fn removal_asks_to_yield_once_per_many_frees() {
        let mut table: Table<(), ()> = Table::new(0);
        for number in 1..=2 * MANY_FREES {
            let (id, effects) = table.add_timeout(at(0), None, ()).unwrap();
            assert!(!effects.yield_to_loop);
            let (_, effects) = table.remove_timeout(id).unwrap();
            assert_eq!(effects.yield_to_loop, number % MANY_FREES == 0);
        }
    }
}
