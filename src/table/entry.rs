//! The operations that handles and timeouts have in common, by the type of their id.

use super::lifecycle::Lifecycle;
use super::{Effects, NotRegistered, Removal, Table};
use crate::events::Events;
use crate::id::{CallbackId, HandleId, Key, TimeoutId};
use std::fmt::Debug;

/// The id of a handle or of a timeout.
///
/// The registry and the loop are generic over it, so each operation is selected at compile time.
pub(crate) trait EntryId: Copy + Debug + Into<CallbackId> {
    /// Removes the entry.
    fn remove<P, S>(
        self,
        table: &mut Table<P, S>,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered>;

    /// Disables the entry: it stays registered and is not called before it is updated.
    fn disable<P, S>(self, table: &mut Table<P, S>) -> Result<Effects<'_, S>, NotRegistered>;

    /// Returns whether a call of the entry has begun and may still run.
    fn is_in_flight<P, S>(self, table: &Table<P, S>) -> bool;

    /// Returns whether the entry is taken for a call.
    fn is_taken<P, S>(self, table: &Table<P, S>) -> bool;
}

/// The name of an entry of a table: its id, or its integer id.
pub(crate) trait EntryName<I>: Copy {
    /// Returns the id of the entry.
    fn id<P, S>(self, table: &Table<P, S>) -> Result<I, NotRegistered>;
}

/// The integer id of an entry, in a table that assigns such ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntId(pub(crate) i32);

impl<I: EntryId> EntryName<I> for I {
    #[inline]
    fn id<P, S>(self, _: &Table<P, S>) -> Result<I, NotRegistered> {
        Ok(self)
    }
}

impl EntryName<HandleId> for IntId {
    #[inline]
    fn id<P, S>(self, table: &Table<P, S>) -> Result<HandleId, NotRegistered> {
        table.handle_id(self.0)
    }
}

impl EntryName<TimeoutId> for IntId {
    #[inline]
    fn id<P, S>(self, table: &Table<P, S>) -> Result<TimeoutId, NotRegistered> {
        table.timeout_id(self.0)
    }
}

impl EntryId for HandleId {
    fn remove<P, S>(
        self,
        table: &mut Table<P, S>,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered> {
        table.remove_handle(self)
    }

    fn disable<P, S>(self, table: &mut Table<P, S>) -> Result<Effects<'_, S>, NotRegistered> {
        table.update_handle(self, Events::NONE)
    }

    fn is_in_flight<P, S>(self, table: &Table<P, S>) -> bool {
        table.is_handle_in_flight(self)
    }

    #[inline]
    fn is_taken<P, S>(self, table: &Table<P, S>) -> bool {
        table.is_handle_taken(self)
    }
}

impl EntryId for TimeoutId {
    fn remove<P, S>(
        self,
        table: &mut Table<P, S>,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered> {
        table.remove_timeout(self)
    }

    fn disable<P, S>(self, table: &mut Table<P, S>) -> Result<Effects<'_, S>, NotRegistered> {
        let now = table.latest_time();
        table.update_timeout(self, now, None)
    }

    fn is_in_flight<P, S>(self, table: &Table<P, S>) -> bool {
        table.is_timeout_in_flight(self)
    }

    #[inline]
    fn is_taken<P, S>(self, table: &Table<P, S>) -> bool {
        table.is_timeout_taken(self)
    }
}

impl<P, S> Table<P, S> {
    /// Returns whether the entry with this key is taken for a call, also if the entry was removed. `entry` is the
    /// entry in the slot of the key.
    #[inline]
    pub(super) fn is_taken(&self, key: Key, entry: Option<&Lifecycle<P>>) -> bool {
        entry.is_some_and(|entry| {
            key.table == self.number && entry.serial() == key.serial.get() && entry.is_taken()
        })
    }

    /// Returns the result of the removal of the entry with this key, which `is_taken` for a call or not.
    #[inline]
    pub(super) fn removal(&self, key: Key, is_taken: bool) -> Removal {
        if is_taken && self.turn.begun.is(key.serial.get()) {
            Removal::InFlight
        } else {
            Removal::Idle
        }
    }
}
