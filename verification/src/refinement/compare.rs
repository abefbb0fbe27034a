//! The comparison of the state of the relation with the table, the cells and the calls.

use super::Twin;
use super::state::{Lock, Slot, Step};
use crate::World;
use crate::oracle::Label;
use std::fmt::Debug;

/// Fails with the name of a field and its two values unless they are equal.
fn same<T: PartialEq + Debug>(field: &'static str, is: T, allowed: T) -> Result<(), String> {
    if is == allowed {
        return Ok(());
    }
    Err(format!("{field} is {is:?}, and {allowed:?} is allowed"))
}

/// The same for a field of a slot.
fn same_at<T: PartialEq + Debug>(
    slot: usize,
    field: &'static str,
    is: T,
    allowed: T,
) -> Result<(), String> {
    same(field, is, allowed).map_err(|difference| format!("of slot {slot}, {difference}"))
}

impl Twin {
    /// Compares all fields that the code has.
    pub(super) fn compare(&self, world: &World) -> Result<(), String> {
        self.compare_loop(world)?;
        self.compare_table(world)?;
        self.compare_calls(world)
    }

    /// Compares the step of the loop, and the cells.
    fn compare_loop(&self, world: &World) -> Result<(), String> {
        let own = &self.state;
        same("lock", Lock::Open, own.lock)?;
        let step = if world.is_published {
            Step::Published
        } else if !world.calls.is_empty() {
            Step::Calling
        } else if world.table.view().left().is_some() && !self.is_over {
            Step::Freeing
        } else {
            Step::Home
        };
        same("step", step, own.step)?;
        same("turn", u64::from(world.turn_began), own.turn)?;
        same("running", world.published, own.running)?;
        same("changes", world.changes, own.changes)?;
        if own.is_in_batch() {
            same("seen", world.seen, own.seen)?;
            same("at", world.over, own.at)?;
        }
        Ok(())
    }

    /// Compares the entries of the table, its queue and its records.
    fn compare_table(&self, world: &World) -> Result<(), String> {
        let own = &self.state;
        let view = world.table.view();
        same("issued", view.issued(), own.issued)?;
        let left = match own.step {
            Step::Freeing => Some(own.left),
            _ => self.is_over.then_some(0),
        };
        same("left", view.left().map(|left| left as u64), left)?;
        same("observed", view.observed(), own.observed)?;
        same("in_flight", view.in_flight(), own.in_flight)?;
        let mut tail = own.head;
        for slot in view.queue() {
            same_at(slot, "queue", tail, own.slot(slot).queue)?;
            tail += 1;
        }
        same("tail", tail, own.tail)?;
        let (mut entries, mut out) = (0, 0);
        for entry in view.entries() {
            let Slot {
                serial,
                removed,
                out: is_out,
                ..
            } = own.slot(entry.slot);
            same_at(entry.slot, "serial", entry.serial, serial)?;
            same_at(entry.slot, "removed", entry.removed, removed)?;
            same_at(entry.slot, "out", entry.out, is_out)?;
            entries += 1;
            out += usize::from(is_out);
        }
        // Each entry that was added and is not freed is in the table.
        same("head", own.issued - entries, own.head)?;
        same(
            "length",
            out,
            if own.is_in_batch() { own.length } else { 0 },
        )
    }

    /// Compares the calls that are out: their order, their payloads, and which of those to come are still due.
    fn compare_calls(&self, world: &World) -> Result<(), String> {
        let own = &self.state;
        let view = world.table.view();
        for (place, call) in world.calls.iter().enumerate() {
            let Some((entry, serial)) = view.key(call.id()) else {
                return Err("a free call is out".to_owned());
            };
            let slot = own.slot(entry);
            same_at(entry, "serial", serial, slot.serial)?;
            same_at(entry, "place", place, slot.place)?;
            same_at(entry, "payload", call.payload, label_of(serial))?;
            if own.is_pending(entry) && !slot.removed {
                same_at(entry, "due", view.due(call), slot.due)?;
            }
            if own.running == serial && place == own.at {
                same("current", entry, own.current)?;
            }
        }
        let length = if own.is_in_batch() { own.length } else { 0 };
        same("length", world.calls.len(), length)
    }
}

/// Returns the payload of the entry with this serial.
fn label_of(serial: u64) -> Label {
    Label(u32::try_from(serial - 1).unwrap_or(u32::MAX))
}
