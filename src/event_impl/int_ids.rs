//! Positive integer ids of entries, as in libvirt's event API.

use crate::id::{HandleId, Key, TimeoutId};
use crate::table::{EntryId, NotRegistered};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU64;

/// A map from integer ids to entries. Handles and timeouts share one counter, so the id of one kind is never
/// a valid id of the other kind (EV-202).
///
/// The counter runs up to the limit, starts again at 1, and skips ids in use (EV-203, EV-204).
#[derive(Debug)]
pub(super) struct IntIds {
    /// The id that was assigned last; initially 0.
    last: i32,
    limit: i32,
    /// The number of the table of all entries.
    table: u32,
    live: HashMap<i32, Packed, BuildHasherDefault<IntIdHasher>>,
}

/// An entry without the number of its table, in 12 bytes: with its integer id it takes half as much memory as an
/// [`Entry`] with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    slot: u32,
    /// The low half of the serial, and the high half with the bit [`TIMEOUT`] for a timeout.
    serial: [u32; 2],
}

/// The mark of a timeout. No serial has this bit, because 2⁶³ additions take centuries.
const TIMEOUT: u64 = 1 << 63;

impl Packed {
    fn new(entry: Entry) -> Packed {
        let Key { serial, slot, .. } = entry.key();
        let mark = match entry {
            Entry::Handle(_) => 0,
            Entry::Timeout(_) => TIMEOUT,
        };
        let serial = serial.get() | mark;
        Packed {
            slot,
            serial: [serial as u32, (serial >> 32) as u32],
        }
    }

    /// Returns the entry in the table with this number.
    fn entry(self, table: u32) -> Option<Entry> {
        let [low, high] = self.serial.map(u64::from);
        let serial = high << 32 | low;
        let key = Key {
            serial: NonZeroU64::new(serial & !TIMEOUT)?,
            table,
            slot: self.slot,
        };
        Some(if serial & TIMEOUT == 0 {
            Entry::Handle(HandleId(key))
        } else {
            Entry::Timeout(TimeoutId(key))
        })
    }
}

/// The entry that has an integer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Handle(HandleId),
    Timeout(TimeoutId),
}

impl Entry {
    fn key(self) -> Key {
        match self {
            Entry::Handle(HandleId(key)) | Entry::Timeout(TimeoutId(key)) => key,
        }
    }
}

/// A type of id whose entries have integer ids.
pub(crate) trait IntId: EntryId {
    /// Returns the id in `entry`, if the entry is of this kind.
    fn from_entry(entry: Entry) -> Option<Self>;

    /// Returns the entry with this id.
    fn into_entry(self) -> Entry;
}

impl IntId for HandleId {
    fn from_entry(entry: Entry) -> Option<HandleId> {
        match entry {
            Entry::Handle(id) => Some(id),
            Entry::Timeout(_) => None,
        }
    }

    fn into_entry(self) -> Entry {
        Entry::Handle(self)
    }
}

impl IntId for TimeoutId {
    fn from_entry(entry: Entry) -> Option<TimeoutId> {
        match entry {
            Entry::Timeout(id) => Some(id),
            Entry::Handle(_) => None,
        }
    }

    fn into_entry(self) -> Entry {
        Entry::Timeout(self)
    }
}

impl IntIds {
    /// Creates a map for ids from 1 to `limit`, which must be positive.
    pub(super) fn new(limit: i32) -> IntIds {
        assert!(limit > 0, "the limit {limit} is not positive");
        IntIds {
            last: 0,
            limit,
            table: 0,
            live: HashMap::default(),
        }
    }

    /// Returns the next id that is not in use, or `None` if all are in use. [`assign`](IntIds::assign) puts it
    /// into use.
    pub(super) fn next_free(&self) -> Option<i32> {
        if self.live.len() >= self.limit as usize {
            return None;
        }
        let mut int_id = self.last;
        loop {
            int_id = if int_id >= self.limit { 1 } else { int_id + 1 };
            if !self.live.contains_key(&int_id) {
                return Some(int_id);
            }
        }
    }

    /// Assigns an id that is not in use to an entry. All entries must be in the same table.
    pub(super) fn assign(&mut self, int_id: i32, entry: Entry) {
        self.last = int_id;
        self.table = entry.key().table;
        self.live.insert(int_id, Packed::new(entry));
    }

    /// Returns the id of the entry of this kind that has the integer id.
    pub(super) fn get<I: IntId>(&self, int_id: i32) -> Result<I, NotRegistered> {
        let packed = self.live.get(&int_id);
        let entry = packed.and_then(|packed| packed.entry(self.table));
        entry.and_then(I::from_entry).ok_or(NotRegistered)
    }

    /// Releases the integer id of an entry. Only one of several calls succeeds (EV-701).
    pub(super) fn remove<I: IntId>(&mut self, int_id: i32) -> Result<I, NotRegistered> {
        let id = self.get(int_id)?;
        self.live.remove(&int_id);
        Ok(id)
    }

    /// Releases the integer id of a removed entry, unless another call released it.
    #[cfg(any(test, feature = "capi"))]
    pub(super) fn release(&mut self, int_id: i32, entry: Entry) {
        if self.live.get(&int_id) == Some(&Packed::new(entry)) {
            self.live.remove(&int_id);
        }
    }

    /// Releases the integer id of an entry that was removed by its id. The cost is linear.
    pub(super) fn release_entry(&mut self, entry: Entry) {
        let released = Packed::new(entry);
        self.live.retain(|_, live| *live != released);
    }
}

/// A hasher of integer ids. They are consecutive, so one multiplication is sufficient.
#[derive(Clone, Copy, Debug, Default)]
struct IntIdHasher(u64);

impl Hasher for IntIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_i32(&mut self, int_id: i32) {
        self.write_u64(u64::from(int_id as u32));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Key;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::num::NonZeroU64;

    fn entry(serial: u64) -> Entry {
        let key = Key {
            serial: NonZeroU64::MIN.saturating_add(serial),
            table: 0,
            slot: 0,
        };
        if serial % 2 == 0 {
            Entry::Handle(HandleId(key))
        } else {
            Entry::Timeout(TimeoutId(key))
        }
    }

    fn take(ids: &mut IntIds, int_id: i32) -> Option<Entry> {
        let handle = ids.remove(int_id).map(Entry::Handle);
        let taken = handle.or_else(|_| ids.remove(int_id).map(Entry::Timeout));
        taken.ok()
    }

    proptest! {
        #[test]
        fn live_entries_have_unique_ints_until_the_table_is_full(
            operations in prop::collection::vec((any::<bool>(), 1..=8_i32), 0..200)
        ) {
            let mut ids = IntIds::new(8);
            let mut model = BTreeMap::new();
            for (serial, (add, int_id)) in operations.into_iter().enumerate() {
                if add {
                    let free = ids.next_free();
                    prop_assert_eq!(free.is_none(), model.len() == 8);
                    let Some(free) = free else { continue };
                    prop_assert!((1..=8).contains(&free));
                    let entry = entry(serial as u64);
                    ids.assign(free, entry);
                    prop_assert_eq!(model.insert(free, entry), None);
                } else {
                    prop_assert_eq!(take(&mut ids, int_id), model.remove(&int_id));
                }
            }
        }
    }

    #[test]
    fn packed_entry_is_the_same_entry() {
        assert_eq!(size_of::<(i32, Packed)>(), 16);
        for serial in [1, u64::from(u32::MAX), 1 << 32, TIMEOUT - 1] {
            let key = Key {
                serial: NonZeroU64::new(serial).unwrap(),
                table: 7,
                slot: u32::MAX - 1,
            };
            for entry in [Entry::Handle(HandleId(key)), Entry::Timeout(TimeoutId(key))] {
                assert_eq!(Packed::new(entry).entry(7), Some(entry));
            }
        }
    }

    #[test]
    fn ids_repeat_only_after_all_others_were_assigned() {
        let mut ids = IntIds::new(8);
        ids.assign(ids.next_free().unwrap(), entry(0));
        let mut given = Vec::new();
        for serial in 1..=14 {
            let int_id = ids.next_free().unwrap();
            ids.assign(int_id, entry(serial));
            assert_eq!(take(&mut ids, int_id), Some(entry(serial)));
            given.push(int_id);
        }
        let round = [2, 3, 4, 5, 6, 7, 8];
        assert_eq!(given, [round, round].concat());
    }

    #[test]
    fn id_of_the_other_kind_is_not_registered() {
        let mut ids = IntIds::new(8);
        ids.assign(1, entry(0));
        ids.assign(2, entry(1));
        assert!(ids.get::<TimeoutId>(1).is_err());
        assert!(ids.remove::<TimeoutId>(1).is_err());
        assert!(ids.get::<HandleId>(2).is_err());
        assert!(ids.remove::<HandleId>(2).is_err());
        assert!(ids.get::<HandleId>(1).is_ok());
        assert!(ids.get::<TimeoutId>(2).is_ok());
    }

    #[test]
    fn release_keeps_an_id_of_a_later_entry() {
        let mut ids = IntIds::new(1);
        ids.assign(1, entry(0));
        assert_eq!(take(&mut ids, 1), Some(entry(0)));
        ids.assign(1, entry(1));
        ids.release(1, entry(0));
        assert_eq!(ids.next_free(), None);
        ids.release(1, entry(1));
        assert_eq!(ids.next_free(), Some(1));
        ids.release(1, entry(1));
    }

    #[test]
    fn release_entry_releases_the_id_of_a_removed_entry() {
        let mut ids = IntIds::new(1);
        ids.assign(1, entry(0));
        assert_eq!(ids.next_free(), None);
        ids.release_entry(entry(1));
        assert_eq!(ids.next_free(), None);
        ids.release_entry(entry(0));
        assert_eq!(ids.next_free(), Some(1));
    }
}
