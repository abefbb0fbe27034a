//! The check that every op is a sequence of actions of the relation `verification/unbounded/dispatch.py`.
//!
//! The relation is proved for any number of entries. The module `relation` states it a second time, as functions. A
//! [`World`] keeps a `State` of it, applies the actions of each op to this state, and compares the result with the table,
//! the cells and the calls. So each op is a sequence of steps of the proved relation, or leaves its state alone. The
//! actions follow from the kind of op and its answer; the guards of the relation decide if they are allowed.
//!
//! All fields to which the code has a counterpart are compared where they mean something: the position in the queue of a
//! removed entry, the position in the batch of a taken one, `due` of a registered one with a call to come. The other
//! fields are records, which only the promises of the relation read.

mod compare;
mod ops;
mod relation;
mod state;
pub mod transition;

use crate::{Violation, World};
use relation::Action;
use state::State;
use transition::Transition;

/// Number of steps that were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Actions of the relation.
    pub actions: usize,
    /// Ops without an action, which must leave the state alone.
    pub stutters: usize,
}

impl Steps {
    /// Returns the number of all steps.
    #[must_use]
    pub fn all(self) -> usize {
        self.actions + self.stutters
    }

    /// Adds the steps of another run.
    pub fn add(&mut self, other: Steps) {
        self.actions += other.actions;
        self.stutters += other.stutters;
    }

    /// Returns the steps since `before`.
    #[must_use]
    pub fn since(self, before: Steps) -> Steps {
        Steps {
            actions: self.actions - before.actions,
            stutters: self.stutters - before.stutters,
        }
    }
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} refinement steps, {} of them actions",
            self.all(),
            self.actions
        )
    }
}

/// The state of the relation that corresponds to the world.
#[derive(Clone, Debug)]
pub(crate) struct Twin {
    state: State,
    /// The loop was told that no free call is left in the turn.
    is_over: bool,
    steps: Steps,
    /// The actions since they were last taken, if they are recorded.
    recorded: Option<Vec<Transition>>,
}

impl Twin {
    /// Creates the initial state. Transitions are recorded if `is_recording`.
    pub(crate) fn new(is_recording: bool) -> Twin {
        Twin {
            state: State::new(),
            is_over: false,
            steps: Steps::default(),
            recorded: is_recording.then(Vec::new),
        }
    }

    /// Applies an action to the state.
    fn act(&mut self, action: Action) -> Result<(), Violation> {
        let before = self.recorded.is_some().then(|| self.state.clone());
        let applied = self.state.apply(action);
        applied.map_err(|part| Violation {
            rule: RULE,
            detail: format!("{} is not allowed unless {part}: {action:?}", action.name()),
        })?;
        self.steps.actions += 1;
        if let (Some(recorded), Some(before)) = (&mut self.recorded, before) {
            let after = self.state.clone();
            recorded.push(Transition::new(before, action, after));
        }
        Ok(())
    }
}

/// The rule that a difference from the relation breaks.
const RULE: &str = "refinement";

impl World {
    /// Returns the number of steps that were compared with the relation.
    #[must_use]
    pub fn steps(&self) -> Steps {
        self.twin
            .as_ref()
            .map_or(Steps::default(), |twin| twin.steps)
    }

    /// Takes the transitions of the relation since the last time.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        let twin = self.twin.as_mut();
        let recorded = twin.and_then(|twin| twin.recorded.as_mut());
        recorded.map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Op;
    use crate::oracle::Answer;
    use eventry::Events;
    use eventry::table::Removal;

    /// A world with a batch of two calls, of which the first one runs.
    fn with_batch() -> World {
        let mut world = World::new();
        let interest = Events::READABLE;
        let mut ready = [Events::NONE; crate::op::FDS];
        ready[..2].fill(interest);
        let add = |fd| Op::AddHandle { fd, interest };
        let flush = Op::Flush { refused: 0 };
        for op in [
            add(0),
            add(1),
            flush,
            Op::Poll { ready },
            Op::Turn,
            Op::Step,
        ] {
            world.apply(op).unwrap();
        }
        world
    }

    /// The detail of the violation after a change of the state of the relation.
    fn after(op: Op, change: impl FnOnce(&mut State)) -> String {
        let mut world = with_batch();
        change(&mut world.twin.as_mut().unwrap().state);
        let violation = world.apply(op).unwrap_err();
        assert_eq!(violation.rule, RULE);
        violation.detail
    }

    #[test]
    fn ops_are_actions_or_stutters() {
        let mut world = with_batch();
        let steps = Steps {
            actions: 7,
            stutters: 2,
        };
        // Two additions, the begin of the turn, the lock, two takes and the first call.
        assert_eq!(world.steps(), steps);
        world.apply(Op::RemoveHandle { nth: 1 }).unwrap();
        assert_eq!(*world.last(), Answer::Removed(Removal::Idle));
        world.apply(Op::Finish).unwrap();
        world.apply(Op::Step).unwrap();
        assert_eq!(*world.last(), Answer::Skipped);
        // The bump and the removal; the return and the publication; the change that is found, the skip, and the end of
        // the batch.
        assert_eq!(world.steps().actions, 7 + 2 + 2 + 4);
        assert_eq!(world.steps().stutters, 2);
    }

    #[test]
    fn difference_names_the_field_and_the_slot() {
        let queued = after(Op::RemoveHandle { nth: 0 }, |state| state.tail = 1);
        assert_eq!(
            queued,
            "after RemoveHandle { nth: 0 }, of slot 0, queue is 0, and 1 is allowed"
        );
        let stutter = after(Op::Tick(1), |state| state.issued = 3);
        assert_eq!(stutter, "after Tick(1), issued is 2, and 3 is allowed");
        let due = after(Op::Sample, |state| state.slots[2].due = false);
        assert_eq!(
            due,
            "after Sample, of slot 2, due is true, and false is allowed"
        );
    }

    #[test]
    fn forbidden_action_is_named_with_the_broken_guard() {
        let remove = Op::RemoveHandle { nth: 1 };
        let removed = after(remove, |state| state.slots[2].removed = true);
        let right = "bump_to_remove is not allowed unless the id is registered: ";
        assert!(removed.starts_with(right), "{removed}");
        let answer = after(Op::RemoveHandle { nth: 0 }, |state| state.running = 2);
        assert_eq!(answer, "the removal answers InFlight, and Idle is allowed");
    }

    #[test]
    fn without_refinement_nothing_is_compared() {
        let mut world = World::new().without_refinement();
        world.apply(Op::Frees).unwrap();
        assert_eq!(world.steps(), Steps::default());
        assert_eq!(world.take_transitions(), []);
    }

    #[test]
    fn equal_transitions_have_one_canonical_form() {
        let transitions = |freed: usize| {
            let mut world = World::new().recording();
            let interval = None;
            for _ in 0..freed {
                world.apply(Op::AddTimeout { interval }).unwrap();
                world.apply(Op::RemoveTimeout { nth: 0 }).unwrap();
                for op in [Op::Frees, Op::Step, Op::Step] {
                    world.apply(op).unwrap();
                }
                world.forget_freed_except(0);
            }
            drop(world.take_transitions());
            world.apply(Op::AddTimeout { interval }).unwrap();
            let all = world.take_transitions();
            all.into_iter()
                .map(Transition::canonical)
                .collect::<Vec<_>>()
        };
        let first = transitions(0);
        assert_eq!(first.len(), 1);
        assert_eq!((first[0].action(), first[0].slots()), ("add", 1));
        assert_eq!(
            transitions(1)[0].json().len(),
            transitions(3)[0].json().len()
        );
        assert_eq!(transitions(1), transitions(3));
    }
}
