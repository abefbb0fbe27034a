//! The invariants that hold between any two operations.

use super::{Freed, Table};
use crate::events::Events;
use crate::time::MonotonicTime;
use std::collections::BTreeSet;

/// A violated invariant, which is a bug in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant violated: {0}")]
pub struct Violation(pub &'static str);

impl<P, S> Table<P, S> {
    /// Checks the invariants, in time proportional to the size of the table, for tests and debug builds.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_storage()?;
        self.check_frees()?;
        self.check_timeouts()?;
        if self.closed {
            return Ok(());
        }
        self.check_descriptors()
    }

    fn check_storage(&self) -> Result<(), Violation> {
        holds(
            self.handles.vacant_count().is_some() && self.timeouts.vacant_count().is_some(),
            "every slot is occupied or in the list of vacant slots",
        )?;
        let handles = self
            .handles
            .iter()
            .map(|(_, entry)| entry.lifecycle.serial());
        let timeouts = self
            .timeouts
            .iter()
            .map(|(_, entry)| entry.lifecycle.serial());
        let mut serials: Vec<u64> = handles.chain(timeouts).collect();
        let entries = serials.len();
        serials.sort_unstable();
        serials.dedup();
        holds(
            serials.len() == entries,
            "I1: no two entries have the same serial",
        )?;
        holds(
            serials.last().is_none_or(|last| *last <= self.serials),
            "I1: no serial is greater than the latest one issued",
        )?;
        let taken = |taken: bool| usize::from(taken);
        let out: usize = self
            .handles
            .iter()
            .map(|(_, entry)| taken(entry.lifecycle.is_taken()))
            .chain(
                self.timeouts
                    .iter()
                    .map(|(_, entry)| taken(entry.lifecycle.is_taken())),
            )
            .sum();
        holds(
            out == self.turn.taken,
            "I8: exactly the payloads of the taken calls are out of the table",
        )
    }

    fn check_frees(&self) -> Result<(), Violation> {
        let mut queued = BTreeSet::new();
        for freed in &self.frees {
            let (kind, slot, removed) = match *freed {
                Freed::Handle(slot) => (
                    0,
                    slot,
                    self.handles.get(slot).map(|e| e.lifecycle.is_registered()),
                ),
                Freed::Timeout(slot) => (
                    1,
                    slot,
                    self.timeouts.get(slot).map(|e| e.lifecycle.is_registered()),
                ),
            };
            holds(
                removed == Some(false),
                "I7: an entry that waits for its free call is removed",
            )?;
            holds(
                queued.insert((kind, slot)),
                "I5: no entry waits for two free calls",
            )?;
        }
        let handles = self.handles.iter();
        let timeouts = self.timeouts.iter();
        let removed = handles
            .filter(|(_, e)| !e.lifecycle.is_registered())
            .count()
            + timeouts
                .filter(|(_, e)| !e.lifecycle.is_registered())
                .count();
        holds(
            removed == queued.len(),
            "I7: a removed entry waits for its free call",
        )
    }

    fn check_timeouts(&self) -> Result<(), Violation> {
        holds(
            self.deadlines.is_consistent(&self.timeouts),
            "the order of deadlines is consistent",
        )?;
        let mut armed = 0;
        for (_, entry) in self.timeouts.iter() {
            let is_armed = entry.alarm.due().is_some();
            armed += usize::from(is_armed);
            holds(
                is_armed
                    == (entry.lifecycle.is_registered()
                        && entry.interval.after(MonotonicTime::ZERO).is_some()),
                "I12: a timeout is armed exactly if it is registered and has an interval",
            )?;
        }
        holds(
            armed == self.deadlines.len(),
            "I12: the number of armed alarms is that of the armed timeouts",
        )
    }

    fn check_descriptors(&self) -> Result<(), Violation> {
        let mut linked = 0;
        for (fd, descriptor, union, registered_interest) in self.descriptors.iter() {
            let mut wanted = Events::NONE;
            let mut at = descriptor.first;
            let mut age = 0;
            let mut all_refused = true;
            while let Some(entry) = self.handles.get(at) {
                holds(entry.fd == fd, "a handle is linked to its own descriptor")?;
                holds(
                    entry.lifecycle.is_registered(),
                    "a linked handle is registered",
                )?;
                holds(
                    entry.lifecycle.serial() > age,
                    "the handles of a descriptor are in the order of addition",
                )?;
                age = entry.lifecycle.serial();
                wanted |= entry.interest;
                all_refused &= entry.refused || entry.interest.is_empty();
                linked += 1;
                at = entry.next;
            }
            holds(
                wanted == union,
                "I13: the union is that of the interests of the handles",
            )?;
            holds(
                registered_interest == union
                    || descriptor.dirty
                    || registered_interest.is_empty() && all_refused,
                "I13: the registered interest is the union, or the descriptor is dirty or refused",
            )?;
        }
        let registered = self.handles.iter();
        let registered = registered.filter(|(_, entry)| entry.lifecycle.is_registered());
        holds(
            linked == registered.count(),
            "every registered handle is linked to its descriptor",
        )
    }
}

fn holds(condition: bool, rule: &'static str) -> Result<(), Violation> {
    if condition {
        Ok(())
    } else {
        Err(Violation(rule))
    }
}
