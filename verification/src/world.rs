//! The table and the oracle, with the same ops applied to both.

use crate::mirror::{Mirror, Source};
use crate::op::Interval;
use crate::oracle::{Answer, EntryKind, Label, Oracle};
use crate::refinement::Twin;
use crate::{Op, Violation};
use eventry::table::{Effects, Removal, Table, TakenCall};
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
    /// Largest number of calls that the loop takes at once.
    pub(crate) limit: usize,
    /// Calls that are out, with their payloads: those that are over, then the others.
    pub(crate) calls: Vec<TakenCall<Label>>,
    /// Number of the calls that are over.
    pub(crate) over: usize,
    /// The loop has published the next call and not looked for changes since.
    pub(crate) is_published: bool,
    /// Serial of the entry whose call the loop published, and the counter of changes to taken entries.
    pub(crate) published: u64,
    pub(crate) changes: u64,
    /// Counter of changes when the batch was taken.
    pub(crate) seen: u64,
    /// Entries whose removal returned that no call runs and none will begin.
    pub(crate) idle: Vec<Label>,
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
    /// The state of the relation, unless only the oracle is compared.
    pub(crate) twin: Option<Twin>,
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

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// Creates a world with an empty table, whose loop takes two calls at a time.
    #[must_use]
    pub fn new() -> World {
        World::with_limit(2)
    }

    /// Creates a world with an empty table, whose loop takes `limit` calls at a time.
    #[must_use]
    pub fn with_limit(limit: usize) -> World {
        World {
            limit,
            // With this length two timeouts are distributed by their deadlines.
            table: Table::with_longest_leaf(0, 1),
            oracle: Oracle::default(),
            mirror: Mirror::default(),
            now: MonotonicTime::ZERO,
            sampled: None,
            batch: None,
            lost: Vec::new(),
            calls: Vec::new(),
            over: 0,
            is_published: false,
            published: 0,
            changes: 0,
            seen: 0,
            idle: Vec::new(),
            handles: Vec::new(),
            timeouts: Vec::new(),
            turn_began: 0,
            stale: None,
            effects: OwnedEffects::default(),
            last: Answer::Done,
            twin: Some(Twin::new(false)),
        }
    }

    /// Compares with the oracle only, and not with the relation.
    #[must_use]
    pub fn without_refinement(self) -> World {
        World { twin: None, ..self }
    }

    /// Records the transitions of the relation, for [`take_transitions`](World::take_transitions).
    #[must_use]
    pub fn recording(self) -> World {
        World {
            twin: Some(Twin::new(true)),
            ..self
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
        while !self.calls.is_empty() {
            self.apply(if self.is_in_call() {
                Op::Finish
            } else {
                Op::Step
            })?;
        }
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
        !self.calls.is_empty() && !self.is_published
    }

    /// Returns the entry whose call the loop has published without looking for changes since.
    #[must_use]
    pub fn published(&self) -> Option<Label> {
        let call = self.calls.get(self.over).filter(|_| self.is_published);
        call.map(|call| call.payload)
    }

    /// Returns true if the last call of a batch runs.
    pub(crate) fn is_in_last_call(&self) -> bool {
        self.is_in_call() && self.over + 1 == self.calls.len()
    }

    /// Returns true if calls were taken and not all of them are over.
    #[must_use]
    pub fn has_calls_out(&self) -> bool {
        !self.calls.is_empty()
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
            Op::Turn if self.calls.is_empty() => self.begin_turn(),
            Op::Frees if self.calls.is_empty() => {
                self.stale = None;
                self.table.begin_frees();
                self.oracle.begin_frees();
                DONE
            }
            Op::Step if self.calls.is_empty() => self.take()?,
            Op::Step if self.is_published => self.confirm()?,
            Op::Finish if self.is_in_call() => self.end_call(),
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
                if self.has_calls_out() {
                    self.observe();
                }
                self.table.close();
                self.oracle.close();
                self.mirror.clear();
                DONE
            }
            Op::Turn | Op::Frees | Op::Step | Op::Finish => SKIPPED,
        };
        Violation::unless(expected == answer, rule, || {
            format!("the answer to {op:?} is {answer:?}, {expected:?} expected")
        })?;
        if let (Op::RemoveHandle { nth }, Answer::Removed(Removal::Idle)) = (op, &answer) {
            self.idle.extend(self.nth_handle(nth));
        }
        if let (Op::RemoveTimeout { nth }, Answer::Removed(Removal::Idle)) = (op, &answer) {
            self.idle.extend(self.nth_timeout(nth));
        }
        self.last = answer;
        self.check_after_op()?;
        let Some(mut twin) = self.twin.take() else {
            return Ok(());
        };
        let followed = twin.follow(self, op, &self.last);
        self.twin = Some(twin);
        followed
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
        if self.table.is_handle_taken(id) {
            self.observe();
        }
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
        if self.table.is_handle_taken(id) {
            self.observe();
        }
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
        if self.table.is_timeout_taken(id) {
            self.observe();
        }
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
        if self.table.is_timeout_taken(id) {
            self.observe();
        }
        let removed = self.table.remove_timeout(id);
        let answer = removed.map_or(Answer::NotRegistered, |(removal, effects)| {
            self.effects = effects.into();
            Answer::Removed(removal)
        });
        removal(self.oracle.remove(label), answer)
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

pub(crate) fn nth_of<T: Copy>(issued: &[T], nth: usize) -> Option<T> {
    let nth = nth.checked_rem(issued.len())?;
    issued.get(nth).copied()
}

fn duration(interval: Interval) -> Option<Duration> {
    interval.map(Duration::from_nanos)
}
