//! Notices callbacks that are slow and handles that are called without end.
//!
//! A plain value, told of the calls of a turn and of the time. It looks at the first [`LOOKED_AT`] calls of
//! each turn only, so that a turn with many calls costs hardly more than before: a turn with few calls pays
//! more for its wait than for this.

use crate::events::Events;
use crate::id::{CallbackId, HandleId};
use crate::registry::{Limits, Warning};
use crate::time::Time;
use std::time::Duration;

/// How many calls of a turn are looked at.
const LOOKED_AT: u32 = 4;

/// A turn of a loop that does nothing but spin takes less. Other turns have work to do, or waited.
const SPINNING_TURN: Duration = Duration::from_micros(10);

/// How many handles are remembered that have been warned of.
const REMEMBERED: usize = 16;

/// What was noticed, with memory from turn to turn.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    limits: Limits,
    /// How late the clock may be.
    tick: Duration,
    /// How many calls of this turn are still looked at.
    left: u32,
    /// How many are in every turn.
    at_first: u32,
    /// When the turn began.
    began: Time,
    /// The next call begins at this time or earlier.
    idle_since: Time,
    /// When the last call that was looked at was over, or the turn began.
    looked: Time,
    /// How many changes had been made to the table when the last call was looked at, or the turn began.
    changes: u64,
    /// Whether a slow call of this turn has a name.
    is_named: bool,
    longest: Longest,
    suspect: Option<Suspect>,
    /// The first handle of this turn that is not suspected.
    other: Option<HandleId>,
    /// Handles that were warned of, the latest at the end.
    accused: Vec<HandleId>,
    warnings: Vec<Warning>,
}

/// The longest times seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Longest {
    pub(super) callback: Duration,
    pub(super) turn: Duration,
}

/// A handle that is called turn after turn.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    handle: HandleId,
    /// In how many turns in a row it has been called without a change of the table.
    turns: u32,
    /// When the first of them began.
    since: Time,
    /// What it was called with last.
    events: Events,
    /// Whether each call told of an error or a hang-up. Those do not go away by themselves.
    is_broken: bool,
    /// Whether it has been called in this turn.
    is_called: bool,
}

impl Watch {
    /// Of a loop whose clock may be late by `tick`.
    pub(super) fn new(tick: Duration) -> Watch {
        Watch {
            limits: Limits::default(),
            tick,
            left: 0,
            at_first: LOOKED_AT,
            began: Time::ZERO,
            idle_since: Time::ZERO,
            looked: Time::ZERO,
            changes: 0,
            is_named: false,
            longest: Longest::default(),
            suspect: None,
            other: None,
            accused: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A turn begins, after so many changes to the table; `now` is exact.
    pub(super) fn turn_begins(&mut self, changes: u64, now: Time) {
        self.changes = changes;
        self.left = self.at_first;
        self.began = now;
        self.idle_since = now;
        self.looked = now;
        self.is_named = false;
    }

    /// Whether the call that is over is one to be told of.
    pub(super) fn looks(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// A callback that was called with `events` has returned at `now` or later, and so many changes have been
    /// made to the table in all, by it or by others.
    pub(super) fn called(&mut self, callback: CallbackId, events: Events, changes: u64, now: Time) {
        let changed = std::mem::replace(&mut self.changes, changes) != changes;
        if let CallbackId::Handle(handle) = callback {
            self.handle_called(handle, events, changed);
        }
        self.call_is_over(callback, now);
    }

    fn handle_called(&mut self, handle: HandleId, events: Events, changed: bool) {
        match &mut self.suspect {
            Some(suspect) if suspect.handle == handle => {
                suspect.called(events, changed, self.began)
            }
            _ if self.other.is_none() && !self.accused.contains(&handle) => {
                self.other = Some(handle);
            }
            _ => {}
        }
    }

    /// What was removed is about to be dropped; `now` may be late.
    pub(super) fn free_begins(&mut self, now: Time) {
        self.idle_since = now.after(self.tick);
    }

    /// What was removed has been dropped, at `now` or later.
    pub(super) fn free_is_over(&mut self, now: Time) {
        self.call_is_over(CallbackId::Free, now);
    }

    fn call_is_over(&mut self, callback: CallbackId, now: Time) {
        let took = now.since(self.idle_since);
        self.idle_since = now.after(self.tick);
        self.looked = now;
        if took > self.longest.callback {
            self.longest.callback = took;
        }
        if took >= self.limits.slow_callback && !took.is_zero() {
            self.is_named = true;
            self.warnings.push(Warning::SlowCallback { callback, took });
        }
    }

    /// The calls of the turn are over. Unless all of them were looked at, `now` says when, or a little
    /// earlier. Returns whether there is something new to tell.
    pub(super) fn turn_is_over(&mut self, now: impl FnOnce() -> Time) -> bool {
        let ended = if self.left > 0 { self.looked } else { now() };
        let took = ended.since(self.began);
        let is_longest = took > self.longest.turn;
        if is_longest {
            self.longest.turn = took;
        }
        if took >= self.limits.slow_callback && !took.is_zero() {
            self.turn_was_slow(took);
        }
        self.settle_suspect();
        is_longest || !self.warnings.is_empty()
    }

    /// Looks more closely from now on if it cannot tell who was slow.
    #[cold]
    fn turn_was_slow(&mut self, took: Duration) {
        if !self.is_named && self.at_first == LOOKED_AT {
            self.at_first = u32::MAX;
            self.warnings.push(Warning::SlowTurn { took });
        }
    }

    fn settle_suspect(&mut self) {
        let other = self.other.take();
        match &mut self.suspect {
            Some(suspect) if suspect.is_called => {
                suspect.is_called = false;
                if suspect.turns >= self.limits.no_progress {
                    self.accuse();
                }
            }
            _ => self.suspect = other.map(|handle| Suspect::new(handle, self.began)),
        }
    }

    /// The suspect has been called often enough: warns of it, unless its turns had time to do something.
    #[cold]
    fn accuse(&mut self) {
        let Some(suspect) = self.suspect.take() else {
            return;
        };
        if !suspect.is_broken && self.began.since(suspect.since) > SPINNING_TURN * suspect.turns {
            self.suspect = Some(Suspect::new(suspect.handle, self.began));
            return;
        }
        if self.accused.len() == REMEMBERED {
            self.accused.remove(0);
        }
        self.accused.push(suspect.handle);
        self.warnings.push(Warning::NoProgress {
            handle: suspect.handle,
            events: suspect.events,
            turns: suspect.turns,
        });
    }

    /// The longest times seen so far.
    pub(super) fn longest(&self) -> Longest {
        self.longest
    }

    /// What is to be said, once.
    pub(super) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

impl Suspect {
    /// A handle that was called in the turn that began at `since`; from the next on its calls count.
    fn new(handle: HandleId, since: Time) -> Suspect {
        Suspect {
            handle,
            turns: 0,
            since,
            events: Events::NONE,
            is_broken: true,
            is_called: false,
        }
    }

    fn called(&mut self, events: Events, changed: bool, began: Time) {
        if changed {
            *self = Suspect::new(self.handle, began);
        } else {
            self.turns += 1;
            self.events = events;
            self.is_broken &= events.intersects(Events::UNCONDITIONAL);
        }
        self.is_called = true;
    }
}

#[cfg(test)]
mod tests;
