//! One turn of the loop: a snapshot of the due timeouts and ready handles, which are then called one by one.

use super::slots::NONE;
use super::{Freed, Table};
use crate::events::Events;
use crate::id::{HandleId, TimeoutId, Token};
use crate::time::MonotonicTime;
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// The running turn. Its vector keeps its capacity from turn to turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// The time when the turn began.
    now: MonotonicTime,
    /// The number of the latest arming before the turn. Timeouts armed later wait for the next turn (EV-506).
    armed: u64,
    /// The latest serial before the poller waited. Handles added later wait for the next turn, because the events may be
    /// those of another file that had the same number.
    serial: u64,
    /// The reports of the poller about registered descriptors. The handles of a descriptor are looked up when
    /// its report is processed, so handles removed, disabled or replaced since then are skipped (EV-507).
    ready: Vec<Report>,
    /// The number of reports processed.
    looked_at: usize,
    /// The slot of the next handle on the descriptor of the report processed last.
    cursor: u32,
    /// The events of the report processed last.
    events: Events,
    /// The handles whose descriptor the poller refused and that have not been called for the refusal. They stay
    /// if the turn is abandoned, because the poller does not report a refusal again.
    pub(super) refused: VecDeque<RefusedHandle>,
    /// The number of those that are still to be called in this turn. Handles refused during the turn wait for the
    /// next one.
    pub(super) refusals: usize,
    /// The number of free calls left in this turn; set when no other calls are left.
    frees: Option<usize>,
    /// True while a call is outstanding.
    pub(super) outstanding: bool,
}

/// A descriptor and its pending events.
#[derive(Clone, Copy, Debug)]
struct Report {
    fd: RawFd,
    events: Events,
}

/// A handle whose descriptor the poller refused. It is called once with [`Events::ERROR`] and disabled.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedHandle {
    pub(super) serial: u64,
    pub(super) slot: u32,
}

/// A call to make, with the payload of the entry.
#[derive(Debug)]
#[must_use = "the payload is out of the table until the call is finished"]
pub enum DueCall<P, S = ()> {
    /// A handle with a ready descriptor. [`finish_handle`](Table::finish_handle) puts the payload back.
    Handle {
        /// The handle.
        id: HandleId,
        /// The descriptor that it was added with.
        fd: RawFd,
        /// The pending events that its interest covers; never empty (EV-310).
        events: Events,
        /// Its payload.
        payload: P,
    },
    /// A timeout whose interval has passed. [`finish_timeout`](Table::finish_timeout) puts the payload back.
    Timeout {
        /// The timeout.
        id: TimeoutId,
        /// Its payload.
        payload: P,
    },
    /// A removed entry whose last call is over. The payload stays with the caller (EV-704).
    Free {
        /// The payload of the removed entry.
        payload: P,
        /// The source of a removed handle.
        source: Option<S>,
    },
}

impl Default for Turn {
    fn default() -> Turn {
        Turn {
            now: MonotonicTime::ZERO,
            armed: 0,
            serial: 0,
            ready: Vec::new(),
            looked_at: 0,
            cursor: NONE,
            events: Events::NONE,
            refused: VecDeque::new(),
            refusals: 0,
            frees: None,
            outstanding: false,
        }
    }
}

impl Turn {
    /// Moves the cursor to `next` if it points to `slot`, whose handle is being unlinked.
    pub(super) fn advance_cursor_past(&mut self, slot: u32, next: u32) {
        if self.cursor == slot {
            self.cursor = next;
        }
    }

    /// Discards the reports.
    fn clear(&mut self) {
        self.ready.clear();
        self.looked_at = 0;
        self.cursor = NONE;
    }

    /// Drops the pending refusal of the handle with this serial, which was removed.
    pub(super) fn forget_refusal(&mut self, serial: u64) {
        let mut refused = self.refused.iter();
        if let Some(at) = refused.position(|refusal| refusal.serial == serial) {
            self.refused.remove(at);
            self.refusals -= usize::from(at < self.refusals);
        }
    }
}

/// Keeps the lowest stale token. It is a cold function because stale tokens are rare and the loop over the reports
/// is on the dispatch path.
#[cold]
#[inline(never)]
fn record_stale(least: &mut Option<Token>, stale: Token) {
    *least = Some(least.map_or(stale, |least| least.min(stale)));
}

impl<P, S> Table<P, S> {
    /// Begins a turn at `now` with the events that the poller reported.
    ///
    /// This determines the due timeouts and ready handles. Timeouts added later, and handles added after the latest
    /// [`next_change`](Table::next_change), are not called before the next turn (EV-506, EV-1002). Events with a token that is no longer registered are dropped.
    ///
    /// The calls that an earlier turn left are abandoned: the poller reports a descriptor that is still ready
    /// again, a timeout that is still due is called in this turn, and so is a handle with a pending refusal.
    ///
    /// # Panics
    ///
    /// If a call is outstanding.
    pub fn begin_turn(
        &mut self,
        now: MonotonicTime,
        ready: impl IntoIterator<Item = (Token, Events)>,
    ) {
        assert!(!self.turn.outstanding, "I8: a turn began during a call");
        self.turn.now = self.advance(now);
        self.turn.armed = self.armed;
        self.deadlines.begin_turn();
        self.turn.frees = None;
        self.turn.serial = self.flushed_serial;
        self.turn.clear();
        // Internal iteration: a poller with several backends then selects its backend once.
        ready.into_iter().for_each(|(token, events)| {
            if self.descriptors.first_of(token).is_some() {
                let fd = token.fd();
                self.turn.ready.push(Report { fd, events });
            } else {
                record_stale(&mut self.stale, token);
            }
        });
        self.turn.refusals = self.turn.refused.len();
    }

    /// Returns the lowest token of the events that were dropped since the last call, for
    /// [`StaleDetector`](super::StaleDetector).
    pub fn take_stale(&mut self) -> Option<Token> {
        self.stale.take()
    }

    /// Begins a turn that consists of the pending free calls only.
    ///
    /// # Panics
    ///
    /// If a call is outstanding.
    pub fn begin_frees(&mut self) {
        assert!(!self.turn.outstanding, "I8: a turn began during a call");
        self.turn.clear();
        self.turn.refusals = 0;
        self.turn.frees = Some(self.frees.len());
    }

    /// Returns the next call of the turn: due timeouts by deadline, then ready handles in the order reported, then
    /// handles with a refused descriptor, then removed entries in the order of removal (EV-502, EV-710).
    ///
    /// Free calls come when no other calls of the turn are left. Entries removed by a free call are freed in the
    /// next turn, so the number of calls in a turn is bounded.
    ///
    /// # Panics
    ///
    /// If a call is outstanding.
    pub fn next_call(&mut self) -> Option<DueCall<P, S>> {
        assert!(!self.turn.outstanding, "I8: a call began during a call");
        if self.turn.frees.is_none() {
            // Three `if`s instead of `or_else`: a call is large, and this is the dispatch path.
            if let Some(call) = self.next_timeout() {
                return Some(call);
            }
            if let Some(call) = self.next_handle() {
                return Some(call);
            }
            if let Some(call) = self.next_refusal() {
                return Some(call);
            }
        }
        let left = self.turn.frees.get_or_insert(self.frees.len());
        *left = left.checked_sub(1)?;
        let freed = self.frees.pop_front()?;
        Some(self.free(freed))
    }

    /// Puts the payload back after the callback of a handle has returned.
    ///
    /// # Panics
    ///
    /// If that call is not outstanding.
    pub fn finish_handle(&mut self, id: HandleId, payload: P) {
        self.turn.outstanding = false;
        let entry = self.handles.get_mut(id.0.slot);
        entry
            .filter(|entry| entry.lifecycle.serial() == id.0.serial.get())
            .expect("I8: the handle of an outstanding call is in the table")
            .lifecycle
            .finish(payload);
    }

    /// Puts the payload back after the callback of a timeout has returned.
    ///
    /// # Panics
    ///
    /// If that call is not outstanding.
    pub fn finish_timeout(&mut self, id: TimeoutId, payload: P) {
        self.turn.outstanding = false;
        let entry = self.timeouts.get_mut(id.0.slot);
        entry
            .filter(|entry| entry.lifecycle.serial() == id.0.serial.get())
            .expect("I8: the timeout of an outstanding call is in the table")
            .lifecycle
            .finish(payload);
    }

    /// Begins the call of the next due timeout. The timeout is armed again before its call, so that an update inside
    /// its callback takes precedence (EV-611, EV-803), and from the time of the turn, so that missed periods are
    /// lost (EV-804).
    fn next_timeout(&mut self) -> Option<DueCall<P, S>> {
        if !self.deadlines.may_be_due(self.turn.now) {
            return None;
        }
        let (slot, due) = self.deadlines.first(&mut self.timeouts)?;
        if due.deadline > self.turn.now || due.armed > self.turn.armed {
            return None;
        }
        self.deadlines.count_call(self.turn.now, self.armed);
        let entry = self.timeouts.get_mut(slot)?;
        let payload = entry.lifecycle.begin();
        let payload = payload.expect("I12: an armed timeout is registered and idle");
        entry.arm(slot, self.turn.now, &mut self.armed, &mut self.deadlines);
        self.turn.outstanding = true;
        let id = TimeoutId(entry.lifecycle.key(self.number, slot));
        Some(DueCall::Timeout { id, payload })
    }

    /// Begins the call of the next ready handle that is still registered and enabled.
    fn next_handle(&mut self) -> Option<DueCall<P, S>> {
        loop {
            let slot = self.turn.cursor;
            let Some(entry) = self.handles.get_mut(slot) else {
                let &Report { fd, events } = self.turn.ready.get(self.turn.looked_at)?;
                self.turn.looked_at += 1;
                self.turn.cursor = self.descriptors.entry(fd).first;
                self.turn.events = events;
                continue;
            };
            self.turn.cursor = entry.next;
            let events = entry.interest.filter_ready(self.turn.events);
            let is_new = entry.lifecycle.serial() > self.turn.serial;
            if events.is_empty() || is_new {
                continue;
            }
            if let Some(payload) = entry.lifecycle.begin() {
                self.turn.outstanding = true;
                return Some(DueCall::Handle {
                    id: HandleId(entry.lifecycle.key(self.number, slot)),
                    fd: entry.fd,
                    events,
                    payload,
                });
            }
        }
    }

    /// Begins the call of the next handle with a refused descriptor that is still registered and enabled. The
    /// handle is disabled before its call, so that an update inside its callback takes precedence and registers the
    /// descriptor again.
    fn next_refusal(&mut self) -> Option<DueCall<P, S>> {
        while let Some(left) = self.turn.refusals.checked_sub(1) {
            self.turn.refusals = left;
            let RefusedHandle { serial, slot } = self.turn.refused.pop_front()?;
            let entry = self.handles.get_mut(slot);
            let Some(entry) = entry.filter(|entry| entry.lifecycle.serial() == serial) else {
                continue;
            };
            entry.refused = false;
            if entry.interest.is_empty() {
                continue;
            }
            if let Some(payload) = entry.lifecycle.begin() {
                entry.interest = Events::NONE;
                let id = HandleId(entry.lifecycle.key(self.number, slot));
                let fd = entry.fd;
                self.update_union(fd);
                self.turn.outstanding = true;
                return Some(DueCall::Handle {
                    id,
                    fd,
                    events: Events::ERROR,
                    payload,
                });
            }
        }
        None
    }

    /// Takes a removed entry out of the table, for its free call.
    fn free(&mut self, freed: Freed) -> DueCall<P, S> {
        let (lifecycle, source) = match freed {
            Freed::Handle(slot) => {
                let entry = self.handles.remove(slot);
                let entry = entry.expect("I7: a removed handle stays until it is freed");
                (entry.lifecycle, Some(entry.source))
            }
            Freed::Timeout(slot) => {
                let entry = self.timeouts.remove(slot);
                let entry = entry.expect("I7: a removed timeout stays until it is freed");
                (entry.lifecycle, None)
            }
        };
        let payload = lifecycle.into_freed();
        DueCall::Free { payload, source }
    }
}
