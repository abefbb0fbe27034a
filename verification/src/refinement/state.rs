//! A state of the relation, with the fields of `verification/unbounded/dispatch.py`.

/// A step of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Home,
    Taking,
    Next,
    Published,
    Asking,
    Calling,
    Ended,
    Freeing,
}

/// The lock between two actions: free, or held by a thread between its bump of `changes` and its look at `running`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Open,
    Removing,
    Updating,
    Looking,
}

/// The place of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Caller,
    Table,
    Loop,
    Freed,
}

/// The answer to a removal. A removal because the loop is dropped has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    NoAnswer,
    Idle,
    InFlight,
    Closed,
}

/// The fields that the relation has once for each slot; and those of each serial, for the serial that is or was last in
/// the slot, because those of earlier serials do not change any more. Its field `home` is the number of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) serial: u64,
    pub(crate) removed: bool,
    pub(crate) out: bool,
    pub(crate) queue: u64,
    pub(crate) place: usize,
    pub(crate) due: bool,
    pub(crate) changed: bool,
    pub(crate) begun: bool,
    pub(crate) registered: bool,
    pub(crate) payload: Payload,
    pub(crate) answer: Removed,
    pub(crate) young: bool,
}

impl Slot {
    /// A slot that was never used.
    pub(crate) const VACANT: Slot = Slot {
        serial: 0,
        removed: false,
        out: false,
        queue: 0,
        place: 0,
        due: false,
        changed: false,
        begun: false,
        registered: false,
        payload: Payload::Caller,
        answer: Removed::NoAnswer,
        young: false,
    };
}

/// A state. Slots that are not in the list were never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) slots: Vec<Slot>,
    pub(crate) issued: u64,
    pub(crate) head: u64,
    pub(crate) tail: u64,
    pub(crate) turn: u64,
    pub(crate) left: u64,
    pub(crate) length: usize,
    pub(crate) at: usize,
    pub(crate) current: usize,
    pub(crate) running: u64,
    pub(crate) changes: u64,
    pub(crate) seen: u64,
    pub(crate) observed: bool,
    pub(crate) in_flight: u64,
    pub(crate) step: Step,
    pub(crate) lock: Lock,
    pub(crate) holder: usize,
    pub(crate) latest: u64,
}

impl State {
    /// Creates the initial state.
    pub(crate) fn new() -> State {
        State {
            slots: Vec::new(),
            issued: 0,
            head: 0,
            tail: 0,
            turn: 0,
            left: 0,
            length: 0,
            at: 0,
            current: 0,
            running: 0,
            changes: 0,
            seen: 0,
            observed: false,
            in_flight: 0,
            step: Step::Home,
            lock: Lock::Open,
            holder: 0,
            latest: 0,
        }
    }

    /// Returns the fields of a slot.
    pub(crate) fn slot(&self, slot: usize) -> Slot {
        self.slots.get(slot).copied().unwrap_or(Slot::VACANT)
    }

    /// Returns the fields of a slot, to be changed.
    pub(crate) fn slot_mut(&mut self, slot: usize) -> &mut Slot {
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, Slot::VACANT);
        }
        &mut self.slots[slot]
    }

    /// Returns true if a batch is out and no more entries are taken.
    pub(crate) fn is_in_batch(&self) -> bool {
        let (first, last) = (Step::Next as u8, Step::Ended as u8);
        (first..=last).contains(&(self.step as u8))
    }

    /// Returns true if the loop has yet to decide on the call of the entry in `slot`.
    pub(crate) fn is_pending(&self, slot: usize) -> bool {
        let Slot { out, place, .. } = self.slot(slot);
        out && (place > self.at || place == self.at && self.step != Step::Calling)
    }
}
