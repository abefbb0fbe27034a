//! Timeouts: the entries that are called when an interval has passed.

use super::deadlines::{Alarm, Alarms, Deadlines, Due, next_arming};
use super::lifecycle::Lifecycle;
use super::slots::Slots;
use super::{Effects, Freed, NotRegistered, Refused, Removal, Table};
use crate::id::{Key, TimeoutId};
use crate::time::{MonotonicTime, whole_nanos};
use std::time::Duration;

/// One timeout: a repeating interval. It takes 48 bytes if its payload is a box, and a later deadline changes nothing
/// else.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Timeout<P> {
    /// The time from the arming to the deadline.
    pub(super) interval: Interval,
    pub(super) alarm: Alarm,
    pub(super) lifecycle: Lifecycle<P>,
}

impl<P, S> Table<P, S> {
    /// Adds a timeout that is due `interval` after `now` and repeatedly from then on. Without an interval it is
    /// disabled; with an interval of zero it is due in every turn (EV-801, EV-802).
    ///
    /// # Errors
    ///
    /// [`Refused`], with `payload`: the table is unchanged, and `payload` still belongs to the caller (EV-207).
    pub fn add_timeout(
        &mut self,
        now: MonotonicTime,
        interval: Option<Duration>,
        payload: P,
    ) -> Result<(TimeoutId, Effects<'_, S>), (Refused, P)> {
        if self.closed {
            return Err((Refused::Closed, payload));
        }
        let Some(slot) = self.timeouts.next_slot() else {
            return Err((Refused::Full, payload));
        };
        if self.int_ids.is_exhausted() {
            return Err((Refused::IdsExhausted, payload));
        }
        let serial = self.next_serial();
        let now = self.advance(now);
        let mut entry = Timeout {
            lifecycle: Lifecycle::new(serial, payload),
            interval: Interval::new(interval),
            alarm: Alarm::new(),
        };
        entry.arm(slot, now, &mut self.armed, &mut self.deadlines);
        self.timeouts.insert(entry);
        self.int_ids.assign(serial.get(), slot);
        let table = self.number;
        Ok((
            TimeoutId(Key {
                serial,
                table,
                slot,
            }),
            self.effects(),
        ))
    }

    /// Restarts the interval, also with the same value: the timeout is due `interval` after `now`, and not in the
    /// running turn (EV-607…609, EV-611, EV-805). `None` disables it.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    #[inline]
    pub fn update_timeout(
        &mut self,
        id: TimeoutId,
        now: MonotonicTime,
        interval: Option<Duration>,
    ) -> Result<Effects<'_, S>, NotRegistered> {
        let entry = named(&mut self.timeouts, self.number, id)?;
        self.now = self.now.max(now);
        entry.interval = Interval::new(interval);
        entry.arm(id.0.slot, self.now, &mut self.armed, &mut self.deadlines);
        self.sweep_deadlines();
        Ok(self.effects())
    }

    /// Removes a timeout, as [`remove_handle`](Table::remove_handle) removes a handle.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn remove_timeout(
        &mut self,
        id: TimeoutId,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered> {
        let entry = named(&mut self.timeouts, self.number, id)?;
        let is_taken = entry.lifecycle.is_taken();
        entry.lifecycle.remove();
        self.deadlines.disarm(&mut entry.alarm);
        self.sweep_deadlines();
        self.int_ids.release(id.0.serial.get());
        self.frees.push_back(Freed::Timeout(id.0.slot));
        let removal = self.removal(id.0, is_taken);
        Ok((removal, self.effects_of_removal(None)))
    }

    /// Returns the time when the next timeout is due.
    pub fn next_deadline(&mut self) -> Option<MonotonicTime> {
        self.next_deadline_until(MonotonicTime::FAR_FUTURE)
    }

    /// Returns the time when the next timeout is due, if that is not after `limit`. This is faster than the search for
    /// a later deadline, because it leaves the order of later ones as it is.
    pub fn next_deadline_until(&mut self, limit: MonotonicTime) -> Option<MonotonicTime> {
        self.deadlines.first_until(limit, &mut self.timeouts)
    }

    /// Removes superseded nodes from the order of deadlines if there are too many.
    fn sweep_deadlines(&mut self) {
        if self.deadlines.needs_sweep() {
            self.deadlines.sweep(&self.timeouts);
        }
    }
}

/// Returns the registered timeout with this id in the table with this number.
fn named<P>(
    timeouts: &mut Slots<Timeout<P>>,
    table: u32,
    id: TimeoutId,
) -> Result<&mut Timeout<P>, NotRegistered> {
    timeouts
        .get_mut(id.0.slot)
        .filter(|entry| entry.lifecycle.is_named_by(id.0.serial) && table == id.0.table)
        .ok_or(NotRegistered)
}

impl<P> Timeout<P> {
    /// Starts the interval at `now`, or disarms the timeout if it is disabled. `armed` counts armings.
    pub(super) fn arm(
        &mut self,
        slot: u32,
        now: MonotonicTime,
        armed: &mut u64,
        deadlines: &mut Deadlines,
    ) {
        match self.interval.after(now) {
            Some(deadline) => {
                *armed = next_arming(*armed);
                let armed = *armed as u32;
                deadlines.arm(slot, &mut self.alarm, Due { deadline, armed });
            }
            None => deadlines.disarm(&mut self.alarm),
        }
    }
}

impl<P> Alarms for Slots<Timeout<P>> {
    fn alarm(&self, slot: u32) -> Option<&Alarm> {
        self.get(slot).map(|entry| &entry.alarm)
    }

    fn alarm_mut(&mut self, slot: u32) -> Option<&mut Alarm> {
        self.get_mut(slot).map(|entry| &mut entry.alarm)
    }

    // The deadline is near the beginning of a timeout and the payload at its end, so this reads both cache lines.
    fn read(&self, slot: u32) -> u64 {
        self.get(slot).map_or(0, |entry| {
            let in_flight = entry.lifecycle.is_taken();
            entry.alarm.latest_deadline().as_nanos() ^ u64::from(in_flight)
        })
    }
}

/// The time from the arming of a timeout to its deadline, in nanoseconds; or [`DISABLED`](Interval::DISABLED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval(u64);

impl Interval {
    const DISABLED: Interval = Interval(u64::MAX);
    /// The longest interval, with which a timeout is due at the last point in time, whenever it was armed.
    const LONGEST: Interval = Interval(u64::MAX - 1);

    fn new(interval: Option<Duration>) -> Interval {
        interval.map_or(Interval::DISABLED, |interval| {
            Interval(whole_nanos(interval).min(Interval::LONGEST.0))
        })
    }

    /// Returns the deadline of a timeout with this interval that is armed at `now`.
    pub(super) fn after(self, now: MonotonicTime) -> Option<MonotonicTime> {
        match self {
            Interval::DISABLED => None,
            Interval::LONGEST => Some(MonotonicTime::FAR_FUTURE),
            Interval(nanos) => {
                let deadline = MonotonicTime::from_nanos(now.as_nanos().saturating_add(nanos));
                // The longest interval stands for two, so the last two points in time are not distinguished.
                Some(if deadline.as_nanos() < Interval::LONGEST.0 {
                    deadline
                } else {
                    MonotonicTime::FAR_FUTURE
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    // An update reads and writes what is before the payload.
    #[test]
    fn timeout_takes_48_bytes_with_the_payload_at_the_end() {
        type Boxed = Timeout<Box<dyn Fn()>>;
        assert_eq!(size_of::<Option<Boxed>>(), 48);
        assert_eq!(offset_of!(Boxed, lifecycle), 24);
    }
}
