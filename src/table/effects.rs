//! The effects of a change of the table, and the sleep of the loop, which decides about one of them.

use super::Table;
use crate::time::MonotonicTime;

/// What the caller of a change has to do so that the change takes effect outside of the table.
///
/// Every operation that a thread may call at any time returns one. The table decides, the caller carries out.
#[derive(Debug)]
#[must_use = "the change takes effect only when its effects are carried out"]
pub struct Effects<'a, S> {
    /// The source of a descriptor that the poller must forget before anything else happens to the table: the
    /// caller of the removal may close the descriptor next (EV-713).
    pub deregister: Option<&'a S>,
    /// The loop sleeps past something that it should do now, and is to be woken. One wake per sleep is enough,
    /// so only one change during a sleep asks for it.
    pub wake: bool,
    /// Many removed entries wait for their free call. A thread other than the loop's should yield, or it keeps
    /// the loop from its other work and more and more of them pile up. Only one removal in many thousands asks for
    /// it, because the time that yielding takes depends on the other work of the machine.
    pub yield_to_loop: bool,
}

/// The number of removed entries that is taken for a loop that cannot keep up.
const MANY_FREES: usize = 16384;

/// The state of the loop, as far as waking it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It will look at the table before it sleeps again.
    Awake,
    /// It waits, or is about to, until this time at most.
    Until(Option<MonotonicTime>),
}

impl<P, S> Table<P, S> {
    /// Notes that the loop goes to sleep, until `until` at most.
    pub fn fall_asleep(&mut self, until: Option<MonotonicTime>) {
        self.sleep = Sleep::Until(until);
    }

    /// Notes that the loop looks at the table again.
    pub fn wake_up(&mut self) {
        self.sleep = Sleep::Awake;
    }

    /// Asks the loop to stop. The request stays until it is [taken](Table::take_stop) (EV-907).
    pub fn request_stop(&mut self) -> Effects<'_, S> {
        self.stop = true;
        self.effects()
    }

    /// Returns whether the loop is asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop
    }

    /// Returns whether the loop is asked to stop, and withdraws the request.
    pub fn take_stop(&mut self) -> bool {
        std::mem::take(&mut self.stop)
    }

    /// The effects of an addition or an update.
    #[inline]
    pub(super) fn effects(&mut self) -> Effects<'_, S> {
        Effects {
            deregister: None,
            wake: self.wakes(),
            yield_to_loop: false,
        }
    }

    /// The effects of a removal, which ended the registration of the descriptor of the handle in `unwatched`.
    #[inline]
    pub(super) fn effects_of_removal(&mut self, unwatched: Option<u32>) -> Effects<'_, S> {
        let wake = self.wakes();
        Effects {
            deregister: unwatched.map(|slot| &self.removed_handle(slot).source),
            wake,
            yield_to_loop: self.frees.len() % MANY_FREES == 0,
        }
    }

    /// Decides whether the change just made is to wake the loop.
    #[inline]
    fn wakes(&mut self) -> bool {
        match self.sleep {
            Sleep::Awake => false,
            Sleep::Until(until) => self.must_wake(until),
        }
    }

    /// Decides whether the loop, which sleeps until `until`, sleeps past something that it should do now; from
    /// then on it counts as awake.
    #[cold]
    fn must_wake(&mut self, until: Option<MonotonicTime>) -> bool {
        let deadline = self.next_deadline();
        let nearer = match (deadline, until) {
            (Some(deadline), Some(until)) => deadline < until,
            (Some(_), None) => true,
            (None, _) => false,
        };
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

    /// A table with a handle that the poller knows and a timeout that is due at 10.
    fn table() -> (Table<&'static str, i32>, HandleId, TimeoutId) {
        let mut table = Table::new(0);
        let (handle, _) = table.add_handle(3, 33, Events::READABLE, "handle").unwrap();
        let (timeout, _) = table.add_timeout(at(0), after(10), "timeout").unwrap();
        while table.next_change().is_some() {}
        (table, handle, timeout)
    }

    // EV-901: what the loop would sleep past wakes it, once per sleep.
    #[test]
    fn only_one_change_per_sleep_wakes_the_loop() {
        let (mut table, handle, timeout) = table();
        table.fall_asleep(Some(at(10)));
        let later = table.update_timeout(timeout, at(0), after(20)).unwrap();
        assert!(!later.wake, "a deadline that is put off");
        let nearer = table.update_timeout(timeout, at(0), after(9)).unwrap();
        assert!(nearer.wake, "a nearer deadline");
        assert!(!table.request_stop().wake, "it counts as awake");

        for sleeps_until in [None, Some(at(9))] {
            table.take_stop();
            table.fall_asleep(sleeps_until);
            assert!(table.request_stop().wake, "a stop");
            assert!(table.is_stopping());
        }
        table.take_stop();
        table.fall_asleep(Some(at(9)));
        let changed = table.update_handle(handle, Events::WRITABLE).unwrap();
        assert!(changed.wake, "a change for the poller");
        while table.next_change().is_some() {}
        table.fall_asleep(Some(at(9)));
        let (_, removed) = table.remove_timeout(timeout).unwrap();
        assert!(removed.wake, "something to free");
    }

    #[test]
    fn change_while_awake_does_not_wake_the_loop() {
        let (mut table, handle, _) = table();
        table.fall_asleep(None);
        table.wake_up();
        let (_, effects) = table.remove_handle(handle).unwrap();
        assert!(!effects.wake);
    }

    // EV-713: what the handles of a descriptor still want may wait, the end of the last of them may not.
    #[test]
    fn the_last_removal_deregisters_the_descriptor() {
        let (mut table, first, _) = table();
        let (second, _) = table.add_handle(3, 44, Events::WRITABLE, "second").unwrap();
        while table.next_change().is_some() {}
        let (_, effects) = table.remove_handle(first).unwrap();
        assert_eq!(effects.deregister, None);
        let (_, effects) = table.remove_handle(second).unwrap();
        assert_eq!(effects.deregister, Some(&44));
        assert!(table.next_change().is_none(), "the poller is told once");
        let (third, _) = table.add_handle(3, 55, Events::WRITABLE, "third").unwrap();
        assert!(matches!(table.next_change(), Some(Change::Register { .. })));
        let effects = table.update_handle(third, Events::NONE).unwrap();
        assert_eq!(effects.deregister, None, "a disabled handle may wait");
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
