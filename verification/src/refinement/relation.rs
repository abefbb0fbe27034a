//! The actions of the relation: the guard of each, and the fields that it changes.
//!
//! Written from `verification/unbounded/dispatch.py`, clause by clause, and not from the table. The names of actions
//! and fields are the same.

use super::state::{Lock, Payload, Removed, State, Step};

/// An action with its parameters: an entry, the serial of an id, the decision of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Add { entry: usize },
    UpdateIdle { entry: usize, serial: u64 },
    RemoveIdle { entry: usize, serial: u64 },
    Reject { entry: usize, serial: u64 },
    BumpToRemove { entry: usize, serial: u64 },
    BumpToUpdate { entry: usize, serial: u64 },
    RemoveTaken { entry: usize },
    UpdateTaken { entry: usize, choice: bool },
    BumpToLook,
    Look,
    Close { entry: usize },
    BeginTurn,
    LockToTake,
    Take { entry: usize },
    UnlockBatch { entry: usize },
    Confirm,
    Skip,
    Finish,
    BeginFrees,
    Free { entry: usize },
    EndFrees,
    AbandonFrees,
    Publish { entry: usize },
    BeginUnchanged,
    FindChange,
    Return,
    EndBatch,
}

/// The part of a guard that does not hold.
pub(crate) type Refusal = &'static str;

impl Action {
    /// Returns every action, with these parameters.
    pub(crate) fn all(entry: usize, serial: u64, choice: bool) -> [Action; 27] {
        [
            Action::Add { entry },
            Action::UpdateIdle { entry, serial },
            Action::RemoveIdle { entry, serial },
            Action::Reject { entry, serial },
            Action::BumpToRemove { entry, serial },
            Action::BumpToUpdate { entry, serial },
            Action::RemoveTaken { entry },
            Action::UpdateTaken { entry, choice },
            Action::BumpToLook,
            Action::Look,
            Action::Close { entry },
            Action::BeginTurn,
            Action::LockToTake,
            Action::Take { entry },
            Action::UnlockBatch { entry },
            Action::Confirm,
            Action::Skip,
            Action::Finish,
            Action::BeginFrees,
            Action::Free { entry },
            Action::EndFrees,
            Action::AbandonFrees,
            Action::Publish { entry },
            Action::BeginUnchanged,
            Action::FindChange,
            Action::Return,
            Action::EndBatch,
        ]
    }

    /// Returns the name of the action in the relation.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Add { .. } => "add",
            Action::UpdateIdle { .. } => "update_idle",
            Action::RemoveIdle { .. } => "remove_idle",
            Action::Reject { .. } => "reject",
            Action::BumpToRemove { .. } => "bump_to_remove",
            Action::BumpToUpdate { .. } => "bump_to_update",
            Action::RemoveTaken { .. } => "remove_taken",
            Action::UpdateTaken { .. } => "update_taken",
            Action::BumpToLook => "bump_to_look",
            Action::Look => "look",
            Action::Close { .. } => "close",
            Action::BeginTurn => "begin_turn",
            Action::LockToTake => "lock_to_take",
            Action::Take { .. } => "take",
            Action::UnlockBatch { .. } => "unlock_batch",
            Action::Confirm => "confirm",
            Action::Skip => "skip",
            Action::Finish => "finish",
            Action::BeginFrees => "begin_frees",
            Action::Free { .. } => "free",
            Action::EndFrees => "end_frees",
            Action::AbandonFrees => "abandon_frees",
            Action::Publish { .. } => "publish",
            Action::BeginUnchanged => "begin_unchanged",
            Action::FindChange => "find_change",
            Action::Return => "return",
            Action::EndBatch => "end_batch",
        }
    }
}

/// Fails with the part of the guard unless it holds.
fn when(holds: bool, part: Refusal) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(part) }
}

impl State {
    /// Applies an action if its guard holds.
    ///
    /// # Errors
    ///
    /// The part of the guard that does not hold. The state is as before then.
    pub(crate) fn apply(&mut self, action: Action) -> Result<(), Refusal> {
        match action {
            Action::Add { entry } => self.add(entry),
            Action::UpdateIdle { entry, serial } => self.is_idle(entry, serial),
            Action::RemoveIdle { entry, serial } => {
                self.is_idle(entry, serial)?;
                self.remove(entry, Removed::Idle);
                Ok(())
            }
            Action::Reject { entry, serial } => {
                self.is_open()?;
                self.is_id(serial)?;
                when(!self.is_named(entry, serial), "the id is not registered")
            }
            Action::BumpToRemove { entry, serial } => {
                self.bump_to_change(entry, serial, Lock::Removing)
            }
            Action::BumpToUpdate { entry, serial } => {
                self.bump_to_change(entry, serial, Lock::Updating)
            }
            Action::RemoveTaken { entry } => {
                self.is_held(Lock::Removing, entry)?;
                let serial = self.slot(entry).serial;
                let is_begun = self.in_flight_now() == serial;
                let answer = if is_begun {
                    Removed::InFlight
                } else {
                    Removed::Idle
                };
                self.remove(entry, answer);
                self.observe(entry);
                Ok(())
            }
            Action::UpdateTaken { entry, choice } => {
                self.is_held(Lock::Updating, entry)?;
                self.observe(entry);
                self.slot_mut(entry).due = choice;
                Ok(())
            }
            Action::BumpToLook => {
                self.is_open()?;
                when(self.is_in_batch(), "a batch is out")?;
                self.changes += 1;
                self.lock = Lock::Looking;
                Ok(())
            }
            Action::Look => {
                when(self.lock == Lock::Looking, "a thread is about to look")?;
                self.look();
                Ok(())
            }
            Action::Close { entry } => self.close(entry),
            Action::BeginTurn => self.begin_turn(),
            Action::LockToTake => {
                self.is_open()?;
                self.is_at(Step::Home)?;
                self.step = Step::Taking;
                self.length = 0;
                Ok(())
            }
            Action::Take { entry } => self.take(entry),
            Action::UnlockBatch { entry } => self.unlock_batch(entry),
            Action::Confirm => {
                self.asks()?;
                when(self.is_confirmed(), "the call is due or has begun")?;
                self.in_flight = self.slot(self.current).serial;
                self.begin(self.current);
                Ok(())
            }
            Action::Skip => {
                self.asks()?;
                when(!self.is_confirmed(), "the call is neither due nor begun")?;
                self.step = Step::Next;
                self.at += 1;
                self.running = 0;
                self.in_flight = 0;
                Ok(())
            }
            Action::Finish => self.finish(),
            Action::BeginFrees => {
                self.is_open()?;
                self.is_at(Step::Home)?;
                self.step = Step::Freeing;
                self.left = self.tail - self.head;
                Ok(())
            }
            Action::Free { entry } => self.free(entry),
            Action::EndFrees => {
                self.is_open()?;
                self.is_at(Step::Freeing)?;
                when(self.left == 0, "no free call is left")?;
                self.step = Step::Home;
                Ok(())
            }
            Action::AbandonFrees => {
                self.is_open()?;
                self.is_at(Step::Freeing)?;
                self.step = Step::Home;
                self.left = 0;
                Ok(())
            }
            Action::Publish { entry } => {
                self.is_at(Step::Next)?;
                let slot = self.slot(entry);
                when(slot.out, "the entry is out")?;
                when(slot.place == self.at, "its call is the next one")?;
                self.current = entry;
                self.running = slot.serial;
                self.step = Step::Published;
                Ok(())
            }
            Action::BeginUnchanged => {
                self.is_at(Step::Published)?;
                when(self.changes == self.seen, "there is no change")?;
                self.begin(self.current);
                Ok(())
            }
            Action::FindChange => {
                self.is_at(Step::Published)?;
                when(self.changes != self.seen, "there is a change")?;
                self.step = Step::Asking;
                Ok(())
            }
            Action::Return => {
                self.is_at(Step::Calling)?;
                self.step = Step::Next;
                self.at += 1;
                Ok(())
            }
            Action::EndBatch => {
                self.is_at(Step::Next)?;
                when(self.at >= self.length, "no call of the batch is left")?;
                self.step = Step::Ended;
                self.running = 0;
                Ok(())
            }
        }
    }

    fn is_open(&self) -> Result<(), Refusal> {
        let is_open = self.lock == Lock::Open && self.step != Step::Taking;
        when(is_open, "the table can be locked")
    }

    fn is_at(&self, step: Step) -> Result<(), Refusal> {
        when(self.step == step, "the loop is at another step")
    }

    /// `home` is not stored: the caller has the entry and the serial from an id that an addition returned.
    fn is_id(&self, serial: u64) -> Result<(), Refusal> {
        when(0 < serial && serial <= self.issued, "the id was issued")
    }

    fn is_named(&self, entry: usize, serial: u64) -> bool {
        let slot = self.slot(entry);
        slot.serial > 0 && slot.serial == serial && !slot.removed
    }

    fn is_idle(&self, entry: usize, serial: u64) -> Result<(), Refusal> {
        self.is_open()?;
        self.is_id(serial)?;
        when(self.is_named(entry, serial), "the id is registered")?;
        when(!self.slot(entry).out, "the entry is not out")
    }

    fn is_held(&self, lock: Lock, entry: usize) -> Result<(), Refusal> {
        when(self.lock == lock, "the lock is held for this")?;
        when(entry == self.holder, "the entry is that of the bump")
    }

    fn asks(&self) -> Result<(), Refusal> {
        self.is_at(Step::Asking)?;
        when(self.lock == Lock::Open, "the lock is free")
    }

    fn is_confirmed(&self) -> bool {
        let slot = self.slot(self.current);
        let is_due = !slot.removed && slot.due;
        is_due || self.in_flight == slot.serial
    }

    /// The call that counts as begun for a thread that has read `running` after its bump.
    fn in_flight_now(&self) -> u64 {
        if !self.observed {
            self.running
        } else if self.in_flight == self.running {
            self.in_flight
        } else {
            0
        }
    }

    fn remove(&mut self, entry: usize, answer: Removed) {
        let tail = self.tail;
        let slot = self.slot_mut(entry);
        slot.removed = true;
        slot.queue = tail;
        slot.answer = answer;
        slot.registered = false;
        self.tail += 1;
    }

    fn look(&mut self) {
        self.in_flight = self.in_flight_now();
        self.observed = true;
        self.lock = Lock::Open;
    }

    fn observe(&mut self, entry: usize) {
        self.look();
        self.slot_mut(entry).changed = true;
    }

    fn begin(&mut self, entry: usize) {
        self.step = Step::Calling;
        self.latest = self.slot(entry).serial;
        self.slot_mut(entry).begun = true;
    }

    fn add(&mut self, entry: usize) -> Result<(), Refusal> {
        self.is_open()?;
        when(self.slot(entry).serial == 0, "the slot is vacant")?;
        self.issued += 1;
        let serial = self.issued;
        let slot = self.slot_mut(entry);
        slot.serial = serial;
        slot.registered = true;
        slot.payload = Payload::Table;
        slot.answer = Removed::NoAnswer;
        slot.young = true;
        Ok(())
    }

    fn bump_to_change(&mut self, entry: usize, serial: u64, lock: Lock) -> Result<(), Refusal> {
        self.is_open()?;
        self.is_id(serial)?;
        when(self.is_named(entry, serial), "the id is registered")?;
        when(self.slot(entry).out, "the entry is out")?;
        self.changes += 1;
        self.holder = entry;
        self.lock = lock;
        Ok(())
    }

    fn close(&mut self, entry: usize) -> Result<(), Refusal> {
        self.is_open()?;
        let slot = self.slot(entry);
        when(slot.serial > 0 && !slot.removed, "the entry is registered")?;
        when(!slot.out || self.observed, "a taken entry was looked at")?;
        self.remove(entry, Removed::Closed);
        self.slot_mut(entry).changed = slot.out;
        Ok(())
    }

    fn begin_turn(&mut self) -> Result<(), Refusal> {
        self.is_open()?;
        self.is_at(Step::Home)?;
        self.turn = self.issued;
        for slot in &mut self.slots {
            slot.young = false;
        }
        Ok(())
    }

    fn take(&mut self, entry: usize) -> Result<(), Refusal> {
        self.is_at(Step::Taking)?;
        let own = self.slot(entry);
        when(own.serial > 0 && !own.removed, "the entry is registered")?;
        when(!own.out, "the entry is not out")?;
        when(own.serial <= self.turn, "it was added before the turn")?;
        let place = self.length;
        let slot = self.slot_mut(entry);
        slot.out = true;
        slot.place = place;
        slot.payload = Payload::Loop;
        slot.due = true;
        slot.changed = false;
        slot.begun = false;
        self.length += 1;
        Ok(())
    }

    fn unlock_batch(&mut self, entry: usize) -> Result<(), Refusal> {
        self.is_at(Step::Taking)?;
        let slot = self.slot(entry);
        when(slot.out && slot.place == 0, "the entry is the first one")?;
        self.begin(entry);
        self.at = 0;
        self.current = entry;
        self.running = slot.serial;
        self.seen = self.changes;
        self.observed = false;
        self.in_flight = slot.serial;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Refusal> {
        self.is_at(Step::Ended)?;
        when(self.lock == Lock::Open, "the lock is free")?;
        self.step = Step::Home;
        for slot in self.slots.iter_mut().filter(|slot| slot.out) {
            slot.out = false;
            slot.payload = Payload::Table;
        }
        self.observed = false;
        self.in_flight = 0;
        Ok(())
    }

    fn free(&mut self, entry: usize) -> Result<(), Refusal> {
        when(self.lock == Lock::Open, "the lock is free")?;
        self.is_at(Step::Freeing)?;
        when(self.left > 0, "a free call is left")?;
        let own = self.slot(entry);
        when(own.removed, "the entry is removed")?;
        when(
            own.queue == self.head,
            "the entry is the first in the queue",
        )?;
        let slot = self.slot_mut(entry);
        slot.serial = 0;
        slot.removed = false;
        slot.payload = Payload::Freed;
        self.head += 1;
        self.left -= 1;
        Ok(())
    }
}
