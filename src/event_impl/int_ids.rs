//! Positive numbers for entries, as the C shape of the event API names them.

use crate::id::{HandleId, TimeoutId};
use crate::table::{EntryId, NotRegistered};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Which entry has which number. Handles and timeouts share one counter, so that a number given to a
/// function of the other kind never hits a live entry (EV-202).
///
/// The counter runs to the limit before it begins again at 1 and skips what is in use (EV-203, EV-204).
#[derive(Debug)]
pub(super) struct IntIds {
    /// The number given last; 0 at first.
    last: i32,
    limit: i32,
    live: HashMap<i32, Entry, BuildHasherDefault<NumberHasher>>,
}

/// What a number names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Handle(HandleId),
    Timeout(TimeoutId),
}

/// The id of an entry that has a number.
pub(crate) trait IntId: EntryId {
    /// The id in `entry`, if that is of this kind.
    fn from_entry(entry: Entry) -> Option<Self>;

    /// The entry with this id.
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
    /// IntIds from 1 to `limit`, which must be positive.
    pub(super) fn up_to(limit: i32) -> IntIds {
        assert!(limit > 0, "no number is positive up to {limit}");
        IntIds {
            last: 0,
            limit,
            live: HashMap::default(),
        }
    }

    /// The next number, or `None` when all are in use. It stays vacant until it is
    /// [given](IntIds::give).
    pub(super) fn vacant(&self) -> Option<i32> {
        if self.live.len() >= self.limit as usize {
            return None;
        }
        let mut number = self.last;
        loop {
            number = if number >= self.limit { 1 } else { number + 1 };
            if !self.live.contains_key(&number) {
                return Some(number);
            }
        }
    }

    /// Gives a vacant number to an entry.
    pub(super) fn give(&mut self, number: i32, entry: Entry) {
        self.last = number;
        self.live.insert(number, entry);
    }

    /// The entry of this kind that the number names.
    pub(super) fn get<I: IntId>(&self, number: i32) -> Result<I, NotRegistered> {
        let entry = self.live.get(&number).copied();
        entry.and_then(I::from_entry).ok_or(NotRegistered)
    }

    /// Takes the number of an entry back: of several calls one succeeds (EV-701).
    pub(super) fn take<I: IntId>(&mut self, number: i32) -> Result<I, NotRegistered> {
        let id = self.get(number)?;
        self.live.remove(&number);
        Ok(id)
    }

    /// Takes the number of an entry back that was removed meanwhile, unless another call has done so.
    #[cfg(any(test, feature = "capi"))]
    pub(super) fn release(&mut self, number: i32, entry: Entry) {
        if self.live.get(&number) == Some(&entry) {
            self.live.remove(&number);
        }
    }

    /// Takes the number of an entry back that was removed without it. Looks at all of them.
    pub(super) fn forget(&mut self, entry: Entry) {
        self.live.retain(|_, live| *live != entry);
    }
}

/// Consecutive numbers need no better hash than one multiplication.
#[derive(Clone, Copy, Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number as u32));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
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

    fn take(ids: &mut IntIds, number: i32) -> Option<Entry> {
        let handle = ids.take(number).map(Entry::Handle);
        let taken = handle.or_else(|_| ids.take(number).map(Entry::Timeout));
        taken.ok()
    }

    proptest! {
        #[test]
        fn live_entries_have_unique_ints_until_the_table_is_full(
            operations in prop::collection::vec((any::<bool>(), 1..=8_i32), 0..200)
        ) {
            let mut ids = IntIds::up_to(8);
            let mut model = BTreeMap::new();
            // What was handed out in a row: the next eight are distinct unless something is live.
            for (serial, (add, number)) in operations.into_iter().enumerate() {
                if add {
                    let vacant = ids.vacant();
                    prop_assert_eq!(vacant.is_none(), model.len() == 8);
                    let Some(vacant) = vacant else { continue };
                    prop_assert!((1..=8).contains(&vacant));
                    let entry = entry(serial as u64);
                    ids.give(vacant, entry);
                    prop_assert_eq!(model.insert(vacant, entry), None);
                } else {
                    prop_assert_eq!(take(&mut ids, number), model.remove(&number));
                }
            }
        }
    }

    #[test]
    fn a_number_is_not_given_again_before_the_others_were() {
        let mut ids = IntIds::up_to(8);
        ids.give(ids.vacant().unwrap(), entry(0));
        let mut given = Vec::new();
        for serial in 1..=14 {
            let number = ids.vacant().unwrap();
            ids.give(number, entry(serial));
            assert_eq!(take(&mut ids, number), Some(entry(serial)));
            given.push(number);
        }
        let round = [2, 3, 4, 5, 6, 7, 8];
        assert_eq!(given, [round, round].concat());
    }

    #[test]
    fn a_number_of_the_other_kind_names_nothing() {
        let mut ids = IntIds::up_to(8);
        ids.give(1, entry(0));
        ids.give(2, entry(1));
        assert!(ids.get::<TimeoutId>(1).is_err());
        assert!(ids.take::<TimeoutId>(1).is_err());
        assert!(ids.get::<HandleId>(2).is_err());
        assert!(ids.take::<HandleId>(2).is_err());
        assert!(ids.get::<HandleId>(1).is_ok());
        assert!(ids.get::<TimeoutId>(2).is_ok());
    }

    #[test]
    fn a_number_that_names_another_entry_by_now_is_not_released() {
        let mut ids = IntIds::up_to(1);
        ids.give(1, entry(0));
        assert_eq!(take(&mut ids, 1), Some(entry(0)));
        ids.give(1, entry(1));
        ids.release(1, entry(0));
        assert_eq!(ids.vacant(), None);
        ids.release(1, entry(1));
        assert_eq!(ids.vacant(), Some(1));
        ids.release(1, entry(1));
    }

    #[test]
    fn what_was_removed_by_other_means_is_forgotten() {
        let mut ids = IntIds::up_to(1);
        ids.give(1, entry(0));
        assert_eq!(ids.vacant(), None);
        ids.forget(entry(1));
        assert_eq!(ids.vacant(), None);
        ids.forget(entry(0));
        assert_eq!(ids.vacant(), Some(1));
    }
}
