//! The table and the oracle in lock-step.

use crate::mirror::{Mirror, Source};
use crate::op::Interval;
use crate::oracle::{Answer, Label, Oracle, Told};
use crate::{Op, Violation};
use eventry::table::{Change, DueCall, Effects, Table};
use eventry::{Events, HandleId, MonotonicTime, TimeoutId, Token};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The table, everything around it, and the oracle that says what must come of it.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) table: Table<Label, Source>,
    pub(crate) oracle: Oracle,
    pub(crate) mirror: Mirror,
    pub(crate) now: MonotonicTime,
    /// What a thread read from the clock before it came to take the lock.
    pub(crate) sampled: Option<MonotonicTime>,
    /// What was fetched from the poller for the next turn.
    pub(crate) batch: Option<Vec<(Token, Events)>>,
    /// The call that runs, with its payload.
    pub(crate) out: Option<Out>,
    /// Every handle id ever issued, and what it was issued for.
    pub(crate) handles: Vec<(Label, HandleId)>,
    /// The same for timeouts.
    pub(crate) timeouts: Vec<(Label, TimeoutId)>,
    /// Labels from here on were added since the turn began.
    pub(crate) turn_began: u32,
    /// The least token in the batch that nobody was registered under when the turn began.
    pub(crate) stale: Option<Token>,
    /// What the last op asked for, if it was a change.
    pub(crate) asked: Asked,
    last: Answer,
}

/// The effects of a change, without what they borrow of the table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) deregister: Option<Source>,
    pub(crate) wake: bool,
}

impl From<Effects<'_, Source>> for Asked {
    fn from(effects: Effects<'_, Source>) -> Asked {
        Asked {
            deregister: effects.deregister.copied(),
            wake: effects.wake,
        }
    }
}

/// A payload that the table handed out.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    Handle(HandleId, Label),
    Timeout(TimeoutId, Label),
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// An empty table.
    #[must_use]
    pub fn new() -> World {
        World {
            // Two timeouts that are due reach the path for many.
            table: Table::with_gather_threshold(0, 1),
            oracle: Oracle::default(),
            mirror: Mirror::default(),
            now: MonotonicTime::ZERO,
            sampled: None,
            batch: None,
            out: None,
            handles: Vec::new(),
            timeouts: Vec::new(),
            turn_began: 0,
            stale: None,
            asked: Asked::default(),
            last: Answer::Done,
        }
    }

    /// Lets `op` happen, in the table and in the oracle, and compares.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] seen; a panic of the table is one. The world is of no use afterwards.
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

    /// Ends everything: the call that runs returns, the loop is dropped, and what is left is freed.
    ///
    /// # Errors
    ///
    /// As [`apply`](World::apply); `I16` if something is left.
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

    /// What the last op was answered with.
    #[must_use]
    pub fn last(&self) -> &Answer {
        &self.last
    }

    /// What must be.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The handle that an op with this number speaks of.
    #[must_use]
    pub fn nth_handle(&self, nth: usize) -> Option<Label> {
        nth_of(&self.handles, nth).map(|(label, _)| label)
    }

    /// The timeout that an op with this number speaks of.
    #[must_use]
    pub fn nth_timeout(&self, nth: usize) -> Option<Label> {
        nth_of(&self.timeouts, nth).map(|(label, _)| label)
    }

    /// Whether a batch was fetched and not used yet.
    #[must_use]
    pub fn has_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Whether a callback runs.
    #[must_use]
    pub fn is_in_call(&self) -> bool {
        self.out.is_some()
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
            Op::Poll { ready } => {
                self.batch = Some(self.mirror.report(&ready));
                let expected = Answer::Deadline(self.oracle.deadline());
                (
                    "I12",
                    expected,
                    Answer::Deadline(self.table.next_deadline()),
                )
            }
            Op::Turn if self.out.is_none() => self.begin_turn(),
            Op::Frees if self.out.is_none() => {
                self.stale = None;
                self.table.begin_frees();
                self.oracle.begin_frees();
                DONE
            }
            Op::Step if self.out.is_none() => self.step()?,
            Op::Finish => self.finish(),
            Op::Tick(by) => {
                self.now = self.now.saturating_add(Duration::from_nanos(by));
                DONE
            }
            Op::Rebuild => {
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
            format!("{op:?} was answered with {answer:?}, but {expected:?} is right")
        })?;
        self.last = answer;
        self.settle()
    }

    fn add_handle(&mut self, fd: RawFd, interest: Events) -> Result<Verdict, Violation> {
        let label = Label(self.oracle.added());
        let source = Source { label, fd };
        let expected = self.oracle.add_handle(fd, interest);
        let id = match self.table.add_handle(fd, source, interest, label) {
            Ok((id, effects)) => {
                self.asked = effects.into();
                id
            }
            Err((refused, payload, back)) => {
                let kept = payload == label && back == source;
                Violation::unless(kept, "I6", || format!("{payload:?} and {back:?} came back"))?;
                return Ok(("I2", expected, Answer::Refused(refused)));
            }
        };
        let new = self.handles.iter().all(|(_, issued)| *issued != id);
        Violation::unless(new, "I1", || format!("{id:?} was issued twice"))?;
        self.handles.push((label, id));
        Ok(("I2", expected, Answer::Added(label)))
    }

    fn update_handle(&mut self, nth: usize, interest: Events) -> Verdict {
        let Some((label, id)) = nth_of(&self.handles, nth) else {
            return SKIPPED;
        };
        let updated = self.table.update_handle(id, interest);
        let answer = updated.map_or(Answer::NotRegistered, |effects| {
            self.asked = effects.into();
            Answer::Done
        });
        ("I2", self.oracle.update_handle(label, interest), answer)
    }

    fn remove_handle(&mut self, nth: usize) -> Verdict {
        let Some((label, id)) = nth_of(&self.handles, nth) else {
            return SKIPPED;
        };
        let removed = self.table.remove_handle(id);
        let answer = removed.map_or(Answer::NotRegistered, |(removal, effects)| {
            self.asked = effects.into();
            Answer::Removed(removal)
        });
        removal(self.oracle.remove(label), answer)
    }

    fn add_timeout(&mut self, interval: Interval) -> Result<Verdict, Violation> {
        let now = self.sampled.take().unwrap_or(self.now);
        let label = Label(self.oracle.added());
        let expected = self.oracle.add_timeout(now, interval);
        let id = match self.table.add_timeout(now, duration(interval), label) {
            Ok((id, effects)) => {
                self.asked = effects.into();
                id
            }
            Err((refused, payload)) => {
                Violation::unless(payload == label, "I6", || format!("{payload:?} came back"))?;
                return Ok(("I2", expected, Answer::Refused(refused)));
            }
        };
        let new = self.timeouts.iter().all(|(_, issued)| *issued != id);
        Violation::unless(new, "I1", || format!("{id:?} was issued twice"))?;
        self.timeouts.push((label, id));
        Ok(("I2", expected, Answer::Added(label)))
    }

    fn update_timeout(&mut self, nth: usize, interval: Interval) -> Verdict {
        let now = self.sampled.take().unwrap_or(self.now);
        let Some((label, id)) = nth_of(&self.timeouts, nth) else {
            return SKIPPED;
        };
        let updated = self.table.update_timeout(id, now, duration(interval));
        let answer = updated.map_or(Answer::NotRegistered, |effects| {
            self.asked = effects.into();
            Answer::Done
        });
        let expected = self.oracle.update_timeout(label, now, interval);
        ("I2", expected, answer)
    }

    fn remove_timeout(&mut self, nth: usize) -> Verdict {
        let Some((label, id)) = nth_of(&self.timeouts, nth) else {
            return SKIPPED;
        };
        let removed = self.table.remove_timeout(id);
        let answer = removed.map_or(Answer::NotRegistered, |(removal, effects)| {
            self.asked = effects.into();
            Answer::Removed(removal)
        });
        removal(self.oracle.remove(label), answer)
    }

    /// Everything that could wait is told to the poller, each descriptor once and in its net effect.
    fn flush(&mut self, refused: u8) -> Result<Verdict, Violation> {
        let refuses = |fd: RawFd| refused.checked_shr(fd.cast_unsigned()).unwrap_or(0) & 1 == 1;
        let most = self.oracle.changed().len();
        let expected = self.oracle.flush(refuses);
        let mut told = Vec::new();
        while told.len() <= most
            && let Some(change) = self.table.next_change()
        {
            let fd = change.fd();
            let before = self.mirror.interest(fd);
            let named = change_source(&change).label;
            let named = self.oracle.registration(named);
            // Nothing else proves that the descriptor is still open.
            let open = named.is_some_and(|entry| entry.registered);
            Violation::unless(open, "I13", || {
                format!("{change:?} is named by what was removed")
            })?;
            self.mirror.apply(&change)?;
            let after = self.mirror.interest(fd);
            told.push(Told { fd, before, after });
            if after != Events::NONE && refuses(fd) {
                self.mirror.refuse(fd);
                self.table.refused(fd);
            }
        }
        Ok(("I13", expected, Answer::Told(told)))
    }

    fn begin_turn(&mut self) -> Verdict {
        let Some(batch) = self.batch.take() else {
            return SKIPPED;
        };
        let fresh = batch.iter().filter_map(|(token, events)| {
            let fd = self.mirror.fd_of(*token)?;
            Some((fd, *events))
        });
        let fresh: Vec<(RawFd, Events)> = fresh.collect();
        let tokens = batch.iter().map(|(token, _)| *token);
        let stale = tokens.filter(|token| self.mirror.fd_of(*token).is_none());
        self.stale = stale.min();
        self.oracle.begin_turn(self.now, &fresh);
        self.table.begin_turn(self.now, batch);
        self.turn_began = self.oracle.added();
        DONE
    }

    /// A turn that comes to its end has named an event that was reported for nobody, if there was one: none
    /// later than those that were stale when it began, and none that is registered.
    fn check_stale(&mut self) -> Result<(), Violation> {
        let expected = self.stale.take();
        let named = self.table.take_stale();
        let is_over = named.is_none_or(|token| self.mirror.fd_of(token).is_none());
        let is_least = expected.is_none_or(|least| named.is_some_and(|named| named <= least));
        Violation::unless(is_over && is_least, "I18", || {
            format!("{named:?} was named as stale, {expected:?} was")
        })
    }

    /// The next call of both must be the same. What goes wrong here is named as closely as possible.
    fn step(&mut self) -> Result<Verdict, Violation> {
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
        // A handle that hears of a refusal is disabled by it, so this comes after the checks of the call.
        let expected = self.oracle.next_call();
        let answer = match call {
            Some(DueCall::Handle {
                id,
                fd,
                events,
                payload,
            }) => {
                self.out = Some(Out::Handle(id, payload));
                Answer::Handle(payload, fd, events)
            }
            Some(DueCall::Timeout { id, payload }) => {
                self.out = Some(Out::Timeout(id, payload));
                Answer::Timeout(payload)
            }
            Some(DueCall::Free { payload, source }) => {
                let own = source.is_none_or(|source| source.label == payload);
                Violation::unless(own, "I6", || format!("{payload:?} came with {source:?}"))?;
                let answer = Answer::Free(payload);
                Violation::unless(expected == answer, "I5", || {
                    format!("{answer:?}, but {expected:?} is right")
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

    fn finish(&mut self) -> Verdict {
        match self.out.take() {
            Some(Out::Handle(id, label)) => {
                self.table.finish_handle(id, label);
                self.oracle.finish(label);
            }
            Some(Out::Timeout(id, label)) => {
                self.table.finish_timeout(id, label);
                self.oracle.finish(label);
            }
            None => return SKIPPED,
        }
        DONE
    }
}

/// Under which rule, what is right, and what the table said.
type Verdict = (&'static str, Answer, Answer);

const DONE: Verdict = ("I4", Answer::Done, Answer::Done);
const SKIPPED: Verdict = ("I4", Answer::Skipped, Answer::Skipped);

/// A wrong kind of removal is another mistake than a wrong success.
fn removal(expected: Answer, answer: Answer) -> Verdict {
    let both = matches!(
        (&expected, &answer),
        (Answer::Removed(_), Answer::Removed(_))
    );
    (if both { "I3" } else { "I2" }, expected, answer)
}

fn change_source<'a>(change: &Change<'a, Source>) -> &'a Source {
    match *change {
        Change::Register { source, .. }
        | Change::Reregister { source, .. }
        | Change::Deregister { source, .. } => source,
    }
}

fn nth_of<T: Copy>(issued: &[T], nth: usize) -> Option<T> {
    let nth = nth.checked_rem(issued.len())?;
    issued.get(nth).copied()
}

/// The label that `id` was issued for; the payload must say the same.
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
