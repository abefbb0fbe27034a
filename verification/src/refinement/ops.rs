//! The actions of each op.

use super::relation::Action;
use super::state::{Removed, Step};
use super::{RULE, Twin};
use crate::oracle::{Answer, Label};
use crate::world::nth_of;
use crate::{Op, Violation, World};
use eventry::CallbackId;
use eventry::table::{Removal, TakenCall};

impl Twin {
    /// Applies the actions of an op that has been applied to the world, and compares the state.
    ///
    /// # Errors
    ///
    /// A [`Violation`] of the rule `refinement`, which names the action or the field.
    pub(crate) fn follow(
        &mut self,
        world: &World,
        op: Op,
        answer: &Answer,
    ) -> Result<(), Violation> {
        let before = self.steps.actions;
        match op {
            Op::AddHandle { .. } | Op::AddTimeout { .. } => self.follow_addition(world, op, answer),
            Op::UpdateHandle { .. } | Op::UpdateTimeout { .. } => {
                self.follow_update(world, op, answer)
            }
            Op::RemoveHandle { .. } | Op::RemoveTimeout { .. } => {
                self.follow_removal(world, op, answer)
            }
            Op::Turn | Op::Frees if *answer == Answer::Done => self.follow_begin(op),
            Op::Step => self.follow_step(world, answer),
            Op::Finish if *answer == Answer::Done => {
                self.act(Action::Return)?;
                self.follow_next(world)
            }
            Op::Close => self.follow_close(world),
            _ => Ok(()),
        }?;
        self.steps.stutters += usize::from(self.steps.actions == before);
        self.compare(world).map_err(|difference| Violation {
            rule: RULE,
            detail: format!("after {op:?}, {difference}"),
        })
    }

    fn follow_addition(&mut self, world: &World, op: Op, answer: &Answer) -> Result<(), Violation> {
        if !matches!(answer, Answer::Added(_)) {
            return Ok(());
        }
        let entry = world.slot_of_added(op);
        self.act(Action::Add { entry })
    }

    fn follow_update(&mut self, world: &World, op: Op, answer: &Answer) -> Result<(), Violation> {
        let Some((entry, serial)) = world.key(op) else {
            return Ok(());
        };
        match answer {
            Answer::Done if self.is_out(entry, serial) => {
                self.act(Action::BumpToUpdate { entry, serial })?;
                let call = world.calls.get(self.state.slot(entry).place);
                let choice = call.is_some_and(|call| world.table.view().due(call));
                self.act(Action::UpdateTaken { entry, choice })
            }
            Answer::Done => self.act(Action::UpdateIdle { entry, serial }),
            _ => self.follow_rejection(entry, serial),
        }
    }

    fn follow_removal(&mut self, world: &World, op: Op, answer: &Answer) -> Result<(), Violation> {
        let Some((entry, serial)) = world.key(op) else {
            return Ok(());
        };
        let Answer::Removed(removal) = answer else {
            return self.follow_rejection(entry, serial);
        };
        if self.is_out(entry, serial) {
            self.act(Action::BumpToRemove { entry, serial })?;
            self.act(Action::RemoveTaken { entry })?;
        } else {
            self.act(Action::RemoveIdle { entry, serial })?;
        }
        let right = match removal {
            Removal::Idle => Removed::Idle,
            Removal::InFlight => Removed::InFlight,
        };
        let own = self.state.slot(entry).answer;
        Violation::unless(own == right, RULE, || {
            format!("the removal answers {right:?}, and {own:?} is allowed")
        })
    }

    /// The table did not find the entry. If it is taken, the thread has looked before.
    fn follow_rejection(&mut self, entry: usize, serial: u64) -> Result<(), Violation> {
        if self.is_out(entry, serial) {
            self.act(Action::BumpToLook)?;
            self.act(Action::Look)?;
        }
        self.act(Action::Reject { entry, serial })
    }

    fn follow_begin(&mut self, op: Op) -> Result<(), Violation> {
        if self.state.step == Step::Freeing {
            let is_rest = self.state.left > 0;
            self.act(if is_rest {
                Action::AbandonFrees
            } else {
                Action::EndFrees
            })?;
        }
        self.is_over = false;
        self.act(if op == Op::Turn {
            Action::BeginTurn
        } else {
            Action::BeginFrees
        })
    }

    fn follow_step(&mut self, world: &World, answer: &Answer) -> Result<(), Violation> {
        match (self.state.step, answer) {
            (Step::Published, Answer::Skipped) => {
                self.act(Action::FindChange)?;
                self.act(Action::Skip)?;
                self.follow_next(world)
            }
            (Step::Published, _) if self.state.changes == self.state.seen => {
                self.act(Action::BeginUnchanged)
            }
            (Step::Published, _) => {
                self.act(Action::FindChange)?;
                self.act(Action::Confirm)
            }
            (_, Answer::Taken(_)) => {
                self.act(Action::LockToTake)?;
                for at in 0..world.calls.len() {
                    let entry = world.slot_of_call(at);
                    self.act(Action::Take { entry })?;
                }
                let entry = world.slot_of_call(0);
                self.act(Action::UnlockBatch { entry })
            }
            (_, Answer::Free(label)) => {
                self.begin_frees_at_home()?;
                let entry = world.slot_of_label(*label);
                self.act(Action::Free { entry })
            }
            (_, Answer::Nothing) if !self.is_over => {
                self.begin_frees_at_home()?;
                self.is_over = true;
                self.act(Action::EndFrees)
            }
            _ => Ok(()),
        }
    }

    /// The first free call of a turn begins the free calls.
    fn begin_frees_at_home(&mut self) -> Result<(), Violation> {
        match self.state.step {
            Step::Home => self.act(Action::BeginFrees),
            _ => Ok(()),
        }
    }

    /// The loop publishes the next call, or finishes the batch.
    fn follow_next(&mut self, world: &World) -> Result<(), Violation> {
        if self.state.at < self.state.length {
            let entry = world.slot_of_call(self.state.at);
            return self.act(Action::Publish { entry });
        }
        self.act(Action::EndBatch)?;
        self.act(Action::Finish)
    }

    fn follow_close(&mut self, world: &World) -> Result<(), Violation> {
        if self.state.is_in_batch() {
            self.act(Action::BumpToLook)?;
            self.act(Action::Look)?;
        }
        let queued = usize::try_from(self.state.tail - self.state.head).unwrap_or(usize::MAX);
        for entry in world.table.view().queue().skip(queued) {
            self.act(Action::Close { entry })?;
        }
        Ok(())
    }

    /// Returns true if the entry that was added with this id is taken, registered or not.
    fn is_out(&self, entry: usize, serial: u64) -> bool {
        let slot = self.state.slot(entry);
        slot.serial == serial && slot.out
    }
}

/// The slot of an entry that does not exist. No guard holds for it.
const NO_SLOT: usize = usize::MAX;

impl World {
    /// Returns the slot and the serial of the id that an update or removal names.
    fn key(&self, op: Op) -> Option<(usize, u64)> {
        let id: CallbackId = match op {
            Op::UpdateHandle { nth, .. } | Op::RemoveHandle { nth } => {
                nth_of(&self.handles, nth)?.1.into()
            }
            Op::UpdateTimeout { nth, .. } | Op::RemoveTimeout { nth } => {
                nth_of(&self.timeouts, nth)?.1.into()
            }
            _ => return None,
        };
        self.table.view().key(id)
    }

    /// Returns the slot of the entry that the op has added.
    fn slot_of_added(&self, op: Op) -> usize {
        let id: Option<CallbackId> = match op {
            Op::AddHandle { .. } => self.handles.last().map(|(_, id)| (*id).into()),
            _ => self.timeouts.last().map(|(_, id)| (*id).into()),
        };
        self.slot_of(id)
    }

    /// Returns the slot of the entry of a call that is out.
    fn slot_of_call(&self, at: usize) -> usize {
        self.slot_of(self.calls.get(at).map(TakenCall::id))
    }

    /// Returns the slot in which an entry is or was.
    fn slot_of_label(&self, label: Label) -> usize {
        let handle = self.handles.iter().rev().find(|(own, _)| *own == label);
        let timeout = self.timeouts.iter().rev().find(|(own, _)| *own == label);
        let handle = handle.map(|(_, id)| CallbackId::from(*id));
        self.slot_of(handle.or(timeout.map(|(_, id)| (*id).into())))
    }

    fn slot_of(&self, id: Option<CallbackId>) -> usize {
        let key = id.and_then(|id| self.table.view().key(id));
        key.map_or(NO_SLOT, |(slot, _)| slot)
    }
}
