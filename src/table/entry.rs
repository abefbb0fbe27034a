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
    /// Returns the key of the entry.
    fn key(self) -> Key;

    /// Removes the entry.
    fn remove<P, S>(
        self,
        table: &mut Table<P, S>,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered>;

    /// Disables the entry: it stays registered and is not called before it is updated.
    fn disable<P, S>(self, table: &mut Table<P, S>) -> Result<Effects<'_, S>, NotRegistered>;

    /// Returns whether a call of the entry runs.
    fn is_in_flight<P, S>(self, table: &Table<P, S>) -> bool;

    /// Takes the payload back after a call.
    fn finish<P, S>(self, table: &mut Table<P, S>, payload: P);
}

impl EntryId for HandleId {
    fn key(self) -> Key {
        self.0
    }

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

    fn finish<P, S>(self, table: &mut Table<P, S>, payload: P) {
        table.finish_handle(self, payload);
    }
}

impl EntryId for TimeoutId {
    fn key(self) -> Key {
        self.0
    }

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

    fn finish<P, S>(self, table: &mut Table<P, S>, payload: P) {
        table.finish_timeout(self, payload);
    }
}

impl<P, S> Table<P, S> {
    /// Returns whether a call of the entry with this key runs, also if the entry was removed. `entry` is the
    /// entry in the slot of the key.
    pub(super) fn is_in_flight(&self, key: Key, entry: Option<&Lifecycle<P>>) -> bool {
        entry.is_some_and(|entry| {
            key.table == self.number && entry.serial() == key.serial.get() && entry.is_in_flight()
        })
    }
}
