//! Timeouts: the entries that are called when an interval has passed.

use super::deadlines::Due;
use super::lifecycle::Lifecycle;
use super::{Core, Freed, NotRegistered, Refused, Removal};
use crate::id::{Key, TimeoutId};
use crate::planted::{Defect, planted};
use crate::time::Time;
use std::time::Duration;

/// One repeating interval.
#[derive(Clone, Debug)]
pub(super) struct Timeout<P> {
    pub(super) serial: u64,
    pub(super) lifecycle: Lifecycle<P>,
    /// How long after it was armed it is due; none disables it.
    pub(super) interval: Option<Duration>,
}

impl<P, S> Core<P, S> {
    /// Adds a timeout, first due `interval` after `now` and then again and again; none adds it disabled,
    /// zero makes it due in every turn (EV-801, EV-802).
    ///
    /// # Errors
    ///
    /// [`Refused`], with `payload`: nothing happened, it still belongs to the caller (EV-207).
    pub fn add_timeout(
        &mut self,
        now: Time,
        interval: Option<Duration>,
        payload: P,
    ) -> Result<TimeoutId, (Refused, P)> {
        if self.closed {
            return Err((Refused::Closed, payload));
        }
        let Some(slot) = self.timeouts.next_slot() else {
            return Err((Refused::Full, payload));
        };
        let serial = self.next_serial();
        self.timeouts.insert(Timeout {
            serial,
            lifecycle: Lifecycle::Idle(payload),
            interval,
        });
        let now = self.advance(now);
        self.arm(slot, now, interval);
        let core = self.number;
        Ok(TimeoutId(Key { serial, core, slot }))
    }

    /// Starts the interval anew, also with the same value: the timeout is due `interval` after `now`, and
    /// not in the running turn (EV-607…609, EV-611, EV-805). None disables it.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn update_timeout(
        &mut self,
        id: TimeoutId,
        now: Time,
        interval: Option<Duration>,
    ) -> Result<(), NotRegistered> {
        self.timeout_mut(id)?.interval = interval;
        let now = self.advance(now);
        self.arm(id.0.slot, now, interval);
        Ok(())
    }

    /// Removes a timeout; as [`remove_handle`](Core::remove_handle).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn remove_timeout(&mut self, id: TimeoutId) -> Result<Removal, NotRegistered> {
        let entry = self.timeout_mut(id)?;
        let removal = entry.lifecycle.remove().ok_or(NotRegistered)?;
        self.deadlines.disarm(id.0.slot);
        self.frees.push_back(Freed::Timeout(id.0.slot));
        if planted(Defect::FreeWhileRunning) {
            return Ok(Removal::Idle);
        }
        Ok(removal)
    }

    /// When the next timeout is due.
    pub fn next_deadline(&mut self) -> Option<Time> {
        self.deadlines.first().map(|(_, due)| due.deadline)
    }

    /// Arms or disarms the timeout in `slot`.
    pub(super) fn arm(&mut self, slot: u32, now: Time, interval: Option<Duration>) {
        match interval {
            None => self.deadlines.disarm(slot),
            Some(interval) => {
                self.armed += 1;
                let due = Due {
                    deadline: now.after(interval),
                    armed: self.armed,
                };
                self.deadlines.arm(slot, due);
            }
        }
    }

    fn timeout_mut(&mut self, id: TimeoutId) -> Result<&mut Timeout<P>, NotRegistered> {
        let number = self.number;
        self.timeouts
            .get_mut(id.0.slot)
            .filter(|entry| {
                entry.serial == id.0.serial
                    && number == id.0.core
                    && entry.lifecycle.is_registered()
            })
            .ok_or(NotRegistered)
    }
}
