//! Positive integer ids of entries, as in libvirt's event API.

use super::lifecycle::Lifecycle;
use super::slots::NONE;
use super::{NotRegistered, Table};
use crate::id::{HandleId, Key, TimeoutId};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The integer ids of the registered entries of a table. Handles and timeouts share one sequence, so the id of one
/// kind is never a valid id of the other kind (EV-202).
///
/// The integer id of an entry follows from its serial: the serials run from 1 to the limit, start again at 1, and skip
/// ids in use (EV-203, EV-204).
#[derive(Clone, Debug, Default)]
pub(super) struct IntIds {
    /// The largest id; 0 if the entries have none.
    limit: i32,
    /// The number of ids in use.
    count: usize,
    /// The slots of the registered entries, by the number of the block. A block without an id in use is absent.
    blocks: HashMap<u32, Block, BuildHasherDefault<BlockHasher>>,
}

/// The number of ids in a block. Ids that are assigned one after another are in one block, so that most look-ups find
/// it in the cache. A larger block would take too much memory when only one of its ids stays in use.
const BLOCK: usize = 16;

/// The slots of consecutive ids, or [`NONE`].
#[derive(Clone, Debug)]
struct Block([u32; BLOCK]);

impl Default for Block {
    fn default() -> Block {
        Block([NONE; BLOCK])
    }
}

/// Returns the number of the block of an id, and the position in the block.
#[inline]
fn place_of(int_id: i32) -> (u32, usize) {
    let int_id = int_id as u32;
    (int_id / BLOCK as u32, int_id as usize % BLOCK)
}

/// Returns the integer id of the entry with this serial. The ids end at `limit`.
#[inline]
pub(crate) fn int_id_of(serial: u64, limit: i32) -> i32 {
    match i32::try_from(serial) {
        // A division takes longer, and few programs add more entries.
        Ok(serial) if serial <= limit => serial,
        _ => ((serial - 1) % limit as u64) as i32 + 1,
    }
}

impl IntIds {
    /// Returns whether all ids are in use.
    #[inline]
    pub(super) fn is_exhausted(&self) -> bool {
        self.limit > 0 && self.count >= self.limit as usize
    }

    /// Returns whether an entry has the id that belongs to this serial.
    #[inline]
    pub(super) fn is_in_use(&self, serial: u64) -> bool {
        self.count > 0 && self.slot_of(int_id_of(serial, self.limit)).is_some()
    }

    /// Assigns its id to the entry with this serial.
    #[inline]
    pub(super) fn assign(&mut self, serial: u64, slot: u32) {
        if self.limit > 0 {
            let (block, at) = place_of(int_id_of(serial, self.limit));
            self.blocks.entry(block).or_default().0[at] = slot;
            self.count += 1;
        }
    }

    /// Returns the slot of the entry with this id.
    #[inline]
    fn slot_of(&self, int_id: i32) -> Option<u32> {
        let (block, at) = place_of(int_id);
        let slot = self.blocks.get(&block)?.0[at];
        (slot != NONE).then_some(slot)
    }

    /// Releases the id of the removed entry with this serial.
    #[inline]
    pub(super) fn release(&mut self, serial: u64) {
        if self.limit == 0 {
            return;
        }
        let (number, at) = place_of(int_id_of(serial, self.limit));
        if let Some(block) = self.blocks.get_mut(&number) {
            block.0[at] = NONE;
            self.count -= 1;
            if block.0 == [NONE; BLOCK] {
                self.blocks.remove(&number);
            }
        }
    }

    /// Releases all ids.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.count = 0;
    }
}

impl<P, S> Table<P, S> {
    /// Assigns integer ids from 1 to `limit` to all entries.
    ///
    /// # Panics
    ///
    /// If `limit` is not positive, or the table has had an entry.
    pub(crate) fn assign_int_ids(&mut self, limit: i32) {
        assert!(limit > 0, "the limit {limit} is not positive");
        assert!(self.serials == 0, "there are entries without integer ids");
        self.int_ids.limit = limit;
    }

    /// Returns the id of the registered handle with this integer id.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also if a timeout has the integer id.
    #[inline]
    pub(crate) fn handle_id(&self, int_id: i32) -> Result<HandleId, NotRegistered> {
        let lifecycle = |slot| self.handles.get(slot).map(|entry| &entry.lifecycle);
        self.key_of(int_id, lifecycle).map(HandleId)
    }

    /// Returns the id of the registered timeout with this integer id.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also if a handle has the integer id.
    #[inline]
    pub(crate) fn timeout_id(&self, int_id: i32) -> Result<TimeoutId, NotRegistered> {
        let lifecycle = |slot| self.timeouts.get(slot).map(|entry| &entry.lifecycle);
        self.key_of(int_id, lifecycle).map(TimeoutId)
    }

    /// Returns the key of the registered entry with this integer id, of the kind whose entries `lifecycle` finds by slot.
    ///
    /// The slots of handles and timeouts are numbered apart, so the slot of an id may also be that of an entry of the
    /// other kind, or of a removed one that had the id.
    #[inline]
    fn key_of<'a>(
        &'a self,
        int_id: i32,
        lifecycle: impl FnOnce(u32) -> Option<&'a Lifecycle<P>>,
    ) -> Result<Key, NotRegistered> {
        let slot = self.int_ids.slot_of(int_id).ok_or(NotRegistered)?;
        let lifecycle = lifecycle(slot).filter(|lifecycle| {
            lifecycle.is_registered() && int_id_of(lifecycle.serial(), self.int_ids.limit) == int_id
        });
        Ok(lifecycle.ok_or(NotRegistered)?.key(self.number, slot))
    }
}

/// A hasher of the numbers of blocks. They are consecutive, so one multiplication is sufficient.
#[derive(Clone, Copy, Debug, Default)]
struct BlockHasher(u64);

impl Hasher for BlockHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MonotonicTime;
    use crate::events::Events;
    use crate::table::{FreedEntries, Refused};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The id of an entry.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Entry {
        Handle(HandleId),
        Timeout(TimeoutId),
    }

    fn table(limit: i32) -> Table<()> {
        let mut table = Table::new(0);
        table.assign_int_ids(limit);
        table
    }

    fn add(table: &mut Table<()>, is_handle: bool) -> Result<(i32, Entry), Refused> {
        let entry = if is_handle {
            let added = table.add_handle(3, (), Events::READABLE, ());
            added.map(|(id, _)| (id.0.serial.get(), Entry::Handle(id)))
        } else {
            let added = table.add_timeout(MonotonicTime::ZERO, None, ());
            let added = added.map(|(id, _)| (id.0.serial.get(), Entry::Timeout(id)));
            added.map_err(|(reason, ())| (reason, (), ()))
        };
        let limit = table.int_ids.limit;
        entry
            .map(|(serial, entry)| (int_id_of(serial, limit), entry))
            .map_err(|(reason, ..)| reason)
    }

    fn find(table: &Table<()>, int_id: i32) -> Option<Entry> {
        let handle = table.handle_id(int_id).map(Entry::Handle);
        let entry = handle.or_else(|_| table.timeout_id(int_id).map(Entry::Timeout));
        entry.ok()
    }

    /// Removes the entry with the integer id; makes its free call at once if `frees`.
    fn remove(table: &mut Table<()>, int_id: i32, frees: bool) -> Option<Entry> {
        let entry = find(table, int_id)?;
        match entry {
            Entry::Handle(id) => drop(table.remove_handle(id).unwrap()),
            Entry::Timeout(id) => drop(table.remove_timeout(id).unwrap()),
        }
        if frees {
            table.begin_frees();
            while table.take_free(&mut FreedEntries::default()) {}
        }
        Some(entry)
    }

    proptest! {
        #[test]
        fn registered_entries_have_their_own_ids_until_all_are_in_use(
            operations in prop::collection::vec((any::<[bool; 3]>(), 1..=8_i32), 0..200)
        ) {
            let mut table = table(8);
            let mut model = BTreeMap::new();
            for ([adds, is_handle, frees], int_id) in operations {
                if adds {
                    let added = add(&mut table, is_handle);
                    if model.len() == 8 {
                        prop_assert_eq!(added, Err(Refused::IdsExhausted));
                        continue;
                    }
                    let (int_id, entry) = added.unwrap();
                    prop_assert!((1..=8).contains(&int_id));
                    prop_assert_eq!(model.insert(int_id, entry), None);
                } else {
                    prop_assert_eq!(remove(&mut table, int_id, frees), model.remove(&int_id));
                }
                for int_id in 0..=9 {
                    prop_assert_eq!(find(&table, int_id), model.get(&int_id).copied());
                }
            }
        }
    }

    #[test]
    fn ids_repeat_only_after_all_others_were_assigned() {
        let mut table = table(8);
        assert_eq!(add(&mut table, true).unwrap().0, 1);
        let mut given = Vec::new();
        for _ in 1..=14 {
            let (int_id, entry) = add(&mut table, false).unwrap();
            assert_eq!(remove(&mut table, int_id, true), Some(entry));
            given.push(int_id);
        }
        let round = [2, 3, 4, 5, 6, 7, 8];
        assert_eq!(given, [round, round].concat());
    }

    #[test]
    fn id_of_the_other_kind_is_not_registered() {
        let mut table = table(8);
        assert_eq!(add(&mut table, true).unwrap().0, 1);
        assert_eq!(add(&mut table, false).unwrap().0, 2);
        assert!(table.timeout_id(1).is_err());
        assert!(table.handle_id(2).is_err());
        assert!(table.handle_id(1).is_ok());
        assert!(table.timeout_id(2).is_ok());
    }

    // The slot of the timeout is also that of the removed handle, which had the id before.
    #[test]
    fn id_of_a_removed_handle_belongs_to_its_next_entry() {
        let mut table = table(1);
        let (int_id, _) = add(&mut table, true).unwrap();
        remove(&mut table, int_id, false).unwrap();
        let (again, entry) = add(&mut table, false).unwrap();
        assert_eq!((again, find(&table, int_id)), (int_id, Some(entry)));
    }

    #[test]
    fn last_serial_of_each_round_has_the_largest_id() {
        for limit in [1, 8, i32::MAX] {
            for round in [1, 2, 1 << 20] {
                let last = round * limit as u64;
                assert_eq!(int_id_of(last, limit), limit);
                assert_eq!(int_id_of(last + 1, limit), 1);
            }
        }
    }

    #[test]
    fn block_without_an_id_in_use_is_removed() {
        let mut table = table(3 * BLOCK as i32);
        let last = (1..BLOCK).map(|_| add(&mut table, true).unwrap().0).last();
        add(&mut table, true).unwrap();
        assert_eq!(table.int_ids.blocks.len(), 2);
        assert!(remove(&mut table, BLOCK as i32, true).is_some());
        assert_eq!(table.int_ids.blocks.len(), 1);
        for int_id in 1..=last.unwrap() {
            assert_eq!(table.int_ids.blocks.len(), 1);
            remove(&mut table, int_id, true);
        }
        assert!(table.int_ids.blocks.is_empty());
    }

    #[test]
    fn close_releases_all_ids() {
        let mut table = table(1);
        add(&mut table, true).unwrap();
        table.close();
        assert_eq!(find(&table, 1), None);
    }
}
