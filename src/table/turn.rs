//! One turn of the loop: what is due and ready is snapshotted, then handed out call by call.

use super::slots::NONE;
use super::{Freed, Table};
use crate::events::Events;
use crate::id::{HandleId, TimeoutId, Token};
use crate::time::MonotonicTime;
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// The turn that runs. Its vector keeps its storage from turn to turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// When the turn sampled the clock.
    now: MonotonicTime,
    /// Timeouts armed up to here may fire in this turn; those armed later wait for the next (EV-506).
    armed: u64,
    /// Handles with a serial up to here may be called in this turn; those added later wait for the next.
    serial: u64,
    /// What the poller reported of descriptors that are registered. The handles of each are looked up when
    /// it comes to be looked at, so those removed, disabled or replaced since are passed over (EV-507).
    ready: Vec<Report>,
    /// How many of the reports have been looked at.
    looked_at: usize,
    /// The next handle on the descriptor of the report last looked at, and what was reported.
    cursor: u32,
    events: Events,
    /// The handles whose descriptor the poller refused and that have not been called for it. They stay
    /// if the turn is given up: nobody reports a refusal again.
    pub(super) refused: VecDeque<RefusedHandle>,
    /// How many of those are still to be called in this turn; what is refused meanwhile waits for the
    /// next one.
    pub(super) refusals: usize,
    /// How many free calls the turn may still make; set once nothing is left to call.
    frees: Option<usize>,
    /// Whether a call is out.
    pub(super) outstanding: bool,
}

/// A descriptor and what is pending of it.
#[derive(Clone, Copy, Debug)]
struct Report {
    fd: RawFd,
    events: Events,
}

/// A handle whose descriptor the poller refused: called once with [`Events::ERROR`] and disabled.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedHandle {
    pub(super) serial: u64,
    pub(super) slot: u32,
}

/// A callback to make, with the payload it is made with.
#[derive(Debug)]
#[must_use = "the payload is out of the table until the call is finished"]
pub enum DueCall<P, S = ()> {
    /// The handle's descriptor is ready. Give the payload back with
    /// [`finish_handle`](Table::finish_handle).
    Handle {
        /// The handle.
        id: HandleId,
        /// The descriptor it was added with.
        fd: RawFd,
        /// Its share of what is pending; never empty (EV-310).
        events: Events,
        /// Its payload.
        payload: P,
    },
    /// The timeout's interval has passed. Give the payload back with
    /// [`finish_timeout`](Table::finish_timeout).
    Timeout {
        /// The timeout.
        id: TimeoutId,
        /// Its payload.
        payload: P,
    },
    /// The entry was removed and its last call is over: the payload is the caller's for good (EV-704).
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
    /// The handle in `slot` leaves its descriptor, where `next` follows it.
    pub(super) fn advance_cursor_past(&mut self, slot: u32, next: u32) {
        if self.cursor == slot {
            self.cursor = next;
        }
    }

    /// Forgets what was reported.
    fn clear(&mut self) {
        self.ready.clear();
        self.looked_at = 0;
        self.cursor = NONE;
    }

    /// The refused handle with this serial was removed: it is not to be called any more.
    pub(super) fn forget_refusal(&mut self, serial: u64) {
        let mut refused = self.refused.iter();
        if let Some(at) = refused.position(|refusal| refusal.serial == serial) {
            self.refused.remove(at);
            self.refusals -= usize::from(at < self.refusals);
        }
    }
}

/// Keeps the least of the stale tokens. They are rare, and the walk over what is ready is on the dispatch
/// path.
#[cold]
#[inline(never)]
fn record_stale(least: &mut Option<Token>, stale: Token) {
    *least = Some(least.map_or(stale, |least| least.min(stale)));
}

impl<P, S> Table<P, S> {
    /// Begins a turn at `now` with what the poller reported.
    ///
    /// Due timeouts and ready handles are settled here; what is added from now on is not called before
    /// the next turn (EV-506). Events with a token that is no longer registered are dropped.
    ///
    /// What an earlier turn left uncalled is given up: a descriptor that is still ready will be reported
    /// again, a timeout that is still due fires in this turn, and a refusal that was not reported is reported.
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
        self.turn.serial = self.serials;
        self.turn.clear();
        // Internal iteration: a poller of several backends then asks once which one it is.
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

    /// The least token that an event was dropped for since this was last asked, for
    /// [`StaleDetector`](super::StaleDetector) to judge.
    pub fn take_stale(&mut self) -> Option<Token> {
        self.stale.take()
    }

    /// Begins a turn that only makes the free calls that are pending.
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

    /// The next call of the turn: due timeouts by deadline, then ready handles in the order reported,
    /// then those whose descriptor was refused, then what was removed, in the order of removal (EV-502,
    /// EV-710).
    ///
    /// A free call is made only when nothing else is left to call in the turn. Entries removed by a free
    /// call are freed in the next turn, so a turn makes boundedly many calls.
    ///
    /// # Panics
    ///
    /// If a call is outstanding.
    pub fn next_call(&mut self) -> Option<DueCall<P, S>> {
        assert!(!self.turn.outstanding, "I8: a call began during a call");
        if self.turn.frees.is_none() {
            // One after the other rather than chained: a call is large, and this is the dispatch path.
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

    /// Takes the payload back after a handle's callback has returned.
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

    /// Takes the payload back after a timeout's callback has returned.
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

    /// The next due timeout. It is armed anew before it is called, so that an update inside its callback
    /// wins (EV-611, EV-803), from the time of the turn, so that missed periods are lost (EV-804).
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
        let payload = payload.expect("I12: what is armed is registered and at home");
        entry.arm(slot, self.turn.now, &mut self.armed, &mut self.deadlines);
        self.turn.outstanding = true;
        let id = TimeoutId(entry.lifecycle.key(self.number, slot));
        Some(DueCall::Timeout { id, payload })
    }

    /// The next ready handle that is still registered and enabled.
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
            let events = entry.interest.share_of(self.turn.events);
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

    /// The next handle whose descriptor was refused, if it is still registered and enabled. It is
    /// disabled before it is called, so that an update inside its callback wins and is tried anew.
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

    /// Lets an entry that was removed go.
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
