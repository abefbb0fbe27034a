//! Storage with stable slot numbers: a vector and a list of vacant slots.

/// Entries in numbered slots. Vacated slots are reused, the one vacated last first.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: Option<u32>,
    occupied: usize,
}

#[derive(Clone, Debug)]
enum Slot<T> {
    Vacant { next: Option<u32> },
    Occupied(T),
}

impl<T> Slots<T> {
    pub(super) fn new() -> Slots<T> {
        Slots {
            slots: Vec::new(),
            vacant: None,
            occupied: 0,
        }
    }

    /// Returns the slot that the next [`insert`](Slots::insert) uses, or `None` if all slots are occupied.
    pub(super) fn next_slot(&self) -> Option<u32> {
        self.vacant
            .or_else(|| u32::try_from(self.slots.len()).ok().filter(|n| *n < NONE))
    }

    /// Stores `entry` in the slot that [`next_slot`](Slots::next_slot) returned.
    #[inline]
    pub(super) fn insert(&mut self, entry: T) {
        let slot = match self.vacant {
            Some(slot) => slot as usize,
            None => self.append(),
        };
        let Some(place @ &mut Slot::Vacant { next }) = self.slots.get_mut(slot) else {
            unreachable!("I1: a slot in the list of vacant slots is vacant")
        };
        self.vacant = next;
        *place = Slot::Occupied(entry);
        self.occupied += 1;
    }

    /// Appends a slot that is in no list, and returns its number.
    #[inline]
    fn append(&mut self) -> usize {
        self.slots.push(Slot::Vacant { next: None });
        self.slots.len() - 1
    }

    /// Vacates a slot, and drops its entry there. A vacant slot stays as it is.
    #[inline]
    pub(super) fn vacate(&mut self, slot: u32) {
        if let Some(place @ Slot::Occupied(_)) = self.slots.get_mut(slot as usize) {
            *place = Slot::Vacant { next: self.vacant };
            self.vacant = Some(slot);
            self.occupied -= 1;
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        match self.slots.get(slot as usize) {
            Some(Slot::Occupied(entry)) => Some(entry),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.slots.get_mut(slot as usize) {
            Some(Slot::Occupied(entry)) => Some(entry),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.occupied
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| match slot {
                Slot::Occupied(entry) => Some((number, entry)),
                Slot::Vacant { .. } => None,
            })
    }

    /// Returns the length of the list of vacant slots, or `None` if the list is inconsistent.
    pub(super) fn vacant_count(&self) -> Option<usize> {
        let mut count = 0;
        let mut at = self.vacant;
        while let Some(slot) = at {
            let Some(Slot::Vacant { next }) = self.slots.get(slot as usize) else {
                return None;
            };
            count += 1;
            if count > self.slots.len() {
                return None;
            }
            at = *next;
        }
        (count + self.occupied == self.slots.len()).then_some(count)
    }
}

/// The link to no slot. It takes four bytes; an `Option` would take eight.
pub(super) const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insert_reuses_the_slot_vacated_last() {
        let mut slots = Slots::new();
        for entry in 0..3 {
            slots.insert(entry);
        }
        slots.vacate(1);
        slots.vacate(1);
        assert_eq!(slots.get(1), None);
        assert_eq!(slots.vacant_count(), Some(1));
        assert_eq!(slots.next_slot(), Some(1));
        slots.insert(7);
        assert_eq!(slots.get(1), Some(&7));
        assert_eq!(slots.len(), 3);
        assert_eq!(slots.vacant_count(), Some(0));
        slots.vacate(3);
        assert_eq!(slots.len(), 3);
    }
}
