//! The state of the table by the names of the relation `verification/unbounded/dispatch.py`.
//!
//! The crate `verification` compares it with a state of that relation after every operation. Nothing else needs it.

use super::call::CallKind;
use super::{Freed, Table, TakenCall};
use crate::events::Events;
use crate::id::{CallbackId, Key};

/// The table as a state of the relation, for verification.
#[derive(Debug)]
pub struct View<'a, P, S>(&'a Table<P, S>);

/// An entry, registered or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// The number of the slot. Slots of handles have even numbers, slots of timeouts have odd ones.
    pub slot: usize,
    /// The serial of the entry.
    pub serial: u64,
    /// True if the entry is removed and waits to be freed.
    pub removed: bool,
    /// True if the payload is with the loop.
    pub out: bool,
}

impl<P, S> Table<P, S> {
    /// Returns the state of the table as the relation names it, for verification.
    #[must_use]
    pub fn view(&self) -> View<'_, P, S> {
        View(self)
    }
}

impl<P, S> View<'_, P, S> {
    /// Returns the latest serial.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.0.serials
    }

    /// Returns the entries, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = EntryView> {
        let handles = self.0.handles.iter();
        let handles = handles.map(|(slot, entry)| (handle_slot(slot), &entry.lifecycle));
        let timeouts = self.0.timeouts.iter();
        let timeouts = timeouts.map(|(slot, entry)| (timeout_slot(slot), &entry.lifecycle));
        handles.chain(timeouts).map(|(slot, entry)| EntryView {
            slot,
            serial: entry.serial(),
            removed: !entry.is_registered(),
            out: entry.is_taken(),
        })
    }

    /// Returns the slots of the removed entries, in the order in which they are freed.
    pub fn queue(&self) -> impl Iterator<Item = usize> {
        self.0.frees.iter().map(|freed| match *freed {
            Freed::Handle(slot) => handle_slot(slot),
            Freed::Timeout(slot) => timeout_slot(slot),
        })
    }

    /// Returns the number of free calls left in the turn, or `None` if the turn has not begun them.
    #[must_use]
    pub fn left(&self) -> Option<usize> {
        self.0.turn.frees
    }

    /// Returns the serial of the entry whose call counts as begun, or 0.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.0.turn.begun.parts().0
    }

    /// Returns whether a published serial was observed since the batch was taken.
    #[must_use]
    pub fn observed(&self) -> bool {
        self.0.turn.begun.parts().1
    }

    /// Returns whether the entry of a taken call is registered and still due.
    #[must_use]
    pub fn due(&self, call: &TakenCall<P>) -> bool {
        let Key { serial, slot, .. } = call.arguments.key;
        match call.arguments.kind {
            CallKind::Handle { reported } => {
                let entry = self.0.handles.get(slot);
                let entry = entry.filter(|entry| entry.lifecycle.is_named_by(serial));
                let delivered = entry.map(|entry| entry.interest.filter_ready(reported));
                delivered.is_some_and(|events| events != Events::NONE)
            }
            CallKind::Timeout { armed } => {
                let entry = self.0.timeouts.get(slot);
                let entry = entry.filter(|entry| entry.lifecycle.is_named_by(serial));
                let due = entry.and_then(|entry| entry.alarm.due());
                due.is_some_and(|due| due.armed == armed)
            }
        }
    }

    /// Returns the slot and the serial that an id names. There is none for the drop of removed callbacks.
    #[must_use]
    pub fn key(&self, id: CallbackId) -> Option<(usize, u64)> {
        match id {
            CallbackId::Handle(id) => Some((handle_slot(id.0.slot), id.0.serial.get())),
            CallbackId::Timeout(id) => Some((timeout_slot(id.0.slot), id.0.serial.get())),
            CallbackId::Free => None,
        }
    }
}

fn handle_slot(slot: u32) -> usize {
    2 * slot as usize
}

fn timeout_slot(slot: u32) -> usize {
    2 * slot as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::FreedEntries;
    use crate::time::MonotonicTime;
    use std::time::Duration;

    #[test]
    fn view_shows_entries_queue_and_calls() {
        let mut table: Table<&str> = Table::new(0);
        let (handle, _) = table.add_handle(3, (), Events::READABLE, "three").unwrap();
        let zero = MonotonicTime::ZERO;
        let (timeout, _) = table
            .add_timeout(zero, Some(Duration::ZERO), "zero")
            .unwrap();
        let _ = table.remove_handle(handle).unwrap();
        table.begin_turn(zero, []);
        let mut batch = Vec::new();
        table.take_calls(&mut batch, 2);
        let view = table.view();
        let entries: Vec<EntryView> = view.entries().collect();
        let of = |slot, serial, removed, out| EntryView {
            slot,
            serial,
            removed,
            out,
        };
        assert_eq!(entries, [of(0, 1, true, false), of(1, 2, false, true)]);
        assert_eq!(view.queue().collect::<Vec<_>>(), [0]);
        assert_eq!((view.issued(), view.left()), (2, None));
        assert_eq!((view.in_flight(), view.observed()), (2, false));
        assert_eq!(view.key(timeout.into()), Some((1, 2)));
        assert!(view.due(&batch[0]));
        let again = table.update_timeout(timeout, zero, Some(Duration::ZERO));
        let _ = again.unwrap();
        assert!(!table.view().due(&batch[0]));
        table.observe(2);
        assert!(table.view().observed());
        for call in batch {
            table.finish(call);
        }
        assert!(table.take_free(&mut FreedEntries::default()));
        assert_eq!(table.view().left(), Some(0));
    }
}
