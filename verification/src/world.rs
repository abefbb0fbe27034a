//! The table and the oracle, with the same ops applied to both.

use crate::mirror::{Mirror, Source};
use crate::op::Interval;
use crate::oracle::{Answer, EntryKind, Label, Oracle};
use crate::{Op, Violation};
use eventry::table::{DueCall, Effects, Table};
use eventry::{Events, HandleId, MonotonicTime, TimeoutId, Token};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The table, its surroundings, and the oracle.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) table: Table<Label, Source>,
    pub(crate) oracle: Oracle,
    pub(crate) mirror: Mirror,
    pub(crate) now: MonotonicTime,
    /// Time that a thread read from the clock before it took the lock.
    pub(crate) sampled: Option<MonotonicTime>,
    /// Events fetched from the poller for the next turn.
    pub(crate) batch: Option<Vec<(Token, Events)>>,
    /// Registrations that the wait ended, because their descriptors were closed.
    pub(crate) lost: Vec<Token>,
    /// Running call, with its payload.
    pub(crate) running_call: Option<RunningCall>,
    /// Every handle id ever issued, with its label.
    pub(crate) handles: Vec<(Label, HandleId)>,
    /// Every timeout id ever issued, with its label.
    pub(crate) timeouts: Vec<(Label, TimeoutId)>,
    /// First label that was added since the turn began.
    pub(crate) turn_began: u32,
    /// Least token of the batch that belonged to no registration when the turn began.
    pub(crate) stale: Option<Token>,
    /// Effects that the last op returned.
    pub(crate) effects: OwnedEffects,
    last: Answer,
}

/// Effects of a change, with a copy of the source instead of a borrow of the table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnedEffects {
    pub(crate) deregister: Option<Source>,
    pub(crate) wake: bool,
}

impl From<Effects<'_, Source>> for OwnedEffects {
    fn from(effects: Effects<'_, Source>) -> OwnedEffects {
        OwnedEffects {
            deregister: effects.deregister.copied(),
            wake: effects.wake,
        }
    }
}

/// A running call, with the payload that the table handed out.
#[derive(Clone, Debug)]
pub(crate) enum RunningCall {
    Handle(HandleId, Label),
    Timeout(TimeoutId, Label),
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// Creates a world with an empty table.
    #[must_use]
    pub fn new() -> World {
        World {
            // With this threshold two due timeouts reach the code path for many.
            table: Table::with_gather_threshold(0, 1),
            oracle: Oracle::default(),
            mirror: Mirror::default(),
            now: MonotonicTime::ZERO,
            sampled: None,
            batch: None,
            lost: Vec::new(),
            running_call: None,
            handles: Vec::new(),
            timeouts: Vec::new(),
            turn_began: 0,
            stale: None,
            effects: OwnedEffects::default(),
            last: Answer::Done,
        }
    }

    /// Applies `op` to the table and to the oracle, and compares the answers.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found, which may be a panic of the table. The world must not be used afterwards.
    pub fn apply(&mut self, op: Op) -> Result<(), Violation> {
        let applied = catch_unwind(AssertUnwindSafe(|| self.apply_unguarded(op)));
        applied.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let detail = text.unwrap_or("without a message").to_owned();
            Err(Violation {
                rule: "panic",
                detail,
            })
        })
    }

    /// Ends the running call, drops the loop, and frees all entries.
    ///
    /// # Errors
    ///
    /// As [`apply`](World::apply); `I16` if an entry is left.
    pub fn wind_up(&mut self) -> Result<(), Violation> {
        self.apply(Op::Finish)?;
        self.apply(Op::Close)?;
        self.apply(Op::Frees)?;
        while self.last != Answer::Nothing {
            self.apply(Op::Step)?;
        }
        let left = self.table.handle_count() + self.table.timeout_count();
        let freed = self.oracle.registrations().iter().all(|entry| entry.freed);
        let rule = "I16";
        Violation::unless(left == 0 && freed, rule, || {
            format!("{left} entries are left")
        })
    }

    /// Returns the answer to the last op.
    #[must_use]
    pub fn last(&self) -> &Answer {
        &self.last
    }

    /// Returns the oracle.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Returns the handle that `nth` of an op selects.
    #[must_use]
    pub fn nth_handle(&self, nth: usize) -> Option<Label> {
        nth_of(&self.handles, nth).map(|(label, _)| label)
    }

    /// Returns the descriptor of the handle that `nth` of an op selects.
    #[must_use]
    pub fn nth_handle_fd(&self, nth: usize) -> Option<RawFd> {
        match self.oracle.registration(self.nth_handle(nth)?)?.kind {
            EntryKind::Handle { fd, .. } => Some(fd),
            EntryKind::Timeout { .. } => None,
        }
    }

    /// Returns the timeout that `nth` of an op selects.
    #[must_use]
    pub fn nth_timeout(&self, nth: usize) -> Option<Label> {
        nth_of(&self.timeouts, nth).map(|(label, _)| label)
    }

    /// Returns true if a batch was fetched and is not used yet.
    #[must_use]
    pub fn has_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Returns true if a callback runs.
    #[must_use]
    pub fn is_in_call(&self) -> bool {
        self.running_call.is_some()
    }

    fn apply_unguarded(&mut self, op: Op) -> Result<(), Violation> {
        let (rule, expected, answer) = match op {
            Op::AddHandle { fd, interest } => self.add_handle(fd, interest)?,
            Op::UpdateHandle { nth, interest } => self.update_handle(nth, interest),
            Op::RemoveHandle { nth } => self.remove_handle(nth),
            Op::Sample => {
                self.sampled = Some(self.now);
                DONE
            }
            Op::AddTimeout { interval } => self.add_timeout(interval)?,
            Op::UpdateTimeout { nth, interval } => self.update_timeout(nth, interval),
            Op::RemoveTimeout { nth } => self.remove_timeout(nth),
            Op::Flush { refused } => self.flush(refused)?,
            Op::Poll { ready } => self.poll(&ready),
            Op::Reopen { fd, duplicated } => {
                self.mirror.reopen(fd, duplicated);
                DONE
            }
            Op::Lose { fd } => self.lose(fd),
            Op::Turn if self.running_call.is_none() => self.begin_turn(),
            Op::Frees if self.running_call.is_none() => {
                self.stale = None;
                self.table.begin_frees();
                self.oracle.begin_frees();
                DONE
            }
            Op::Step if self.running_call.is_none() => self.step()?,
            Op::Finish => self.finish(),
            Op::Tick(by) => {
                self.now = self.now.saturating_add(Duration::from_nanos(by));
                DONE
            }
            Op::Recreate => {
                self.table.poller_was_recreated();
                self.oracle.poller_was_recreated();
                self.mirror.clear();
                DONE
            }
            Op::Close => {
                self.table.close();
                self.oracle.close();
                self.mirror.clear();
                DONE
            }
            Op::Turn | Op::Frees | Op::Step => SKIPPED,
        };
        Violation::unless(expected == answer, rule, || {
            format!("the answer to {op:?} is {answer:?}, {expected:?} expected")
        })?;
        self.last = answer;
        self.check_after_op()
    }

    fn add_handle(&mut self, fd: RawFd, interest: Events) -> Result<Comparison, Violation> {
        let label = Label(self.oracle.added());
        let source = Source { label, fd };
        let expected = self.oracle.add_handle(fd, interest);
        let id = match self.table.add_handle(fd, source, interest, label) {
            Ok((id, effects)) => {
                self.effects = effects.into();
                id
            }
            Err((refused, payload, back)) => {
                let kept = payload == label && back == source;
                Violation::unless(kept, "I6", || {
                    format!("{payload:?} and {back:?} were returned")
                })?;
                return Ok(("I2", expected, Answer::Refused(refused)));
            }
        };
        let new = self.handles.iter().all(|(_, issued)| *issued != id);
        Violation::unless(new, "I1", || format!("{id:?} was issued twice"))?;
        self.handles.push((label, id));
        if !interest.is_empty() {
            self.mirror.record_use(fd);
        }
        Ok(("I2", expected, Answer::Added(label)))
    }

    fn update_handle(&mut self, nth: usize, interest: Events) -> Comparison {
        let Some((label, id)) = nth_of(&self.handles, nth) else {
            return SKIPPED;
        };
        let updated = self.table.update_handle(id, interest);
        let answer = updated.map_or(Answer::NotRegistered, |effects| {
            self.effects = effects.into();
            Answer::Done
        });
        let entry = self.oracle.registration(label).map(|entry| entry.kind);
        if let (Some(EntryKind::Handle { fd, .. }), Answer::Done) = (entry, &answer)
            && interest != Events::NONE
        {
            self.mirror.record_use(fd);
        }
        ("I2", self.oracle.update_handle(label, interest), answer)
    }

    fn remove_handle(&mut self, nth: usize) -> Comparison {
        let Some((label, id)) = nth_of(&self.handles, nth) else {
            return SKIPPED;
        };
        let removed = self.table.remove_handle(id);
        let answer = removed.map_or(Answer::NotRegistered, |(removal, effects)| {
            self.effects = effects.into();
            Answer::Removed(removal)
        });
        removal(self.oracle.remove(label), answer)
    }

    fn add_timeout(&mut self, interval: Interval) -> Result<Comparison, Violation> {
        let now = self.sampled.take().unwrap_or(self.now);
        let label = Label(self.oracle.added());
        let expected = self.oracle.add_timeout(now, interval);
        let id = match self.table.add_timeout(now, duration(interval), label) {
            Ok((id, effects)) => {
                self.effects = effects.into();
                id
            }
            Err((refused, payload)) => {
                Violation::unless(payload == label, "I6", || {
                    format!("{payload:?} was returned")
                })?;
                return Ok(("I2", expected, Answer::Refused(refused)));
            }
        };
        let new = self.timeouts.iter().all(|(_, issued)| *issued != id);
        Violation::unless(new, "I1", || format!("{id:?} was issued twice"))?;
        self.timeouts.push((label, id));
        Ok(("I2", expected, Answer::Added(label)))
    }

    fn update_timeout(&mut self, nth: usize, interval: Interval) -> Comparison {
        let now = self.sampled.take().unwrap_or(self.now);
        let Some((label, id)) = nth_of(&self.timeouts, nth) else {
            return SKIPPED;
        };
        let updated = self.table.update_timeout(id, now, duration(interval));
        let answer = updated.map_or(Answer::NotRegistered, |effects| {
            self.effects = effects.into();
            Answer::Done
        });
        let expected = self.oracle.update_timeout(label, now, interval);
        ("I2", expected, answer)
    }

    fn remove_timeout(&mut self, nth: usize) -> Comparison {
        let Some((label, id)) = nth_of(&self.timeouts, nth) else {
            return SKIPPED;
        };
        let removed = self.table.remove_timeout(id);
        let answer = removed.map_or(Answer::NotRegistered, |(removal, effects)| {
            self.effects = effects.into();
            Answer::Removed(removal)
        });
        removal(self.oracle.remove(label), answer)
    }

    /// Begins the next call of the table and of the oracle, and compares them. A difference breaks the most
    /// specific rule that applies.
    fn step(&mut self) -> Result<Comparison, Violation> {
        let call = self.table.next_call();
        match &call {
            Some(DueCall::Handle {
                id,
                events,
                payload,
                ..
            }) => {
                let label = label_of(&self.handles, *id, *payload)?;
                self.check_call(label)?;
                self.check_events(label, *events)?;
            }
            Some(DueCall::Timeout { id, payload }) => {
                self.check_call(label_of(&self.timeouts, *id, *payload)?)?;
            }
            Some(DueCall::Free { .. }) | None => {}
        }
        // The report of a refusal disables its handle, so this follows the checks of the call.
        let expected = self.oracle.next_call();
        let answer = match call {
            Some(DueCall::Handle {
                id,
                fd,
                events,
                payload,
            }) => {
                self.running_call = Some(RunningCall::Handle(id, payload));
                Answer::Handle(payload, fd, events)
            }
            Some(DueCall::Timeout { id, payload }) => {
                self.running_call = Some(RunningCall::Timeout(id, payload));
                Answer::Timeout(payload)
            }
            Some(DueCall::Free { payload, source }) => {
                let own = source.is_none_or(|source| source.label == payload);
                Violation::unless(own, "I6", || {
                    format!("{payload:?} was freed with {source:?}")
                })?;
                let answer = Answer::Free(payload);
                Violation::unless(expected == answer, "I5", || {
                    format!("the call is {answer:?}, {expected:?} expected")
                })?;
                answer
            }
            None => Answer::Nothing,
        };
        if expected == Answer::Nothing && answer == expected {
            self.check_stale()?;
        }
        Ok(("I4", expected, answer))
    }

    fn finish(&mut self) -> Comparison {
        match self.running_call.take() {
            Some(RunningCall::Handle(id, label)) => {
                self.table.finish_handle(id, label);
                self.oracle.finish(label);
            }
            Some(RunningCall::Timeout(id, label)) => {
                self.table.finish_timeout(id, label);
                self.oracle.finish(label);
            }
            None => return SKIPPED,
        }
        DONE
    }
}

/// The rule, the expected answer, and the answer of the table.
pub(crate) type Comparison = (&'static str, Answer, Answer);

pub(crate) const DONE: Comparison = ("I4", Answer::Done, Answer::Done);
pub(crate) const SKIPPED: Comparison = ("I4", Answer::Skipped, Answer::Skipped);

/// Returns the comparison of a removal: a wrong kind of removal breaks another rule than a wrong success.
fn removal(expected: Answer, answer: Answer) -> Comparison {
    let both = matches!(
        (&expected, &answer),
        (Answer::Removed(_), Answer::Removed(_))
    );
    (if both { "I3" } else { "I2" }, expected, answer)
}

fn nth_of<T: Copy>(issued: &[T], nth: usize) -> Option<T> {
    let nth = nth.checked_rem(issued.len())?;
    issued.get(nth).copied()
}

/// Returns the label for which `id` was issued, which must equal the payload.
fn label_of<I: PartialEq + Copy + std::fmt::Debug>(
    issued: &[(Label, I)],
    id: I,
    payload: Label,
) -> Result<Label, Violation> {
    let own = issued.iter().find(|(_, issued)| *issued == id);
    let fits = own.is_some_and(|(label, _)| *label == payload);
    Violation::unless(fits, "I6", || format!("{id:?} was called with {payload:?}"))?;
    Ok(payload)
}

fn duration(interval: Interval) -> Option<Duration> {
    interval.map(Duration::from_nanos)
}
