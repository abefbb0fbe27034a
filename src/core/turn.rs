//! One turn of the loop: what is due and ready is snapshotted, then handed out call by call.

use super::{Core, Freed};
use crate::core::lifecycle::Lifecycle;
use crate::events::Events;
use crate::id::{HandleId, Key, TimeoutId, Token};
use crate::planted::{Defect, planted};
use crate::time::Time;
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// The turn that runs. Its vector keeps its storage from turn to turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// When the turn sampled the clock.
    now: Time,
    /// Timeouts armed up to here may fire in this turn; those armed later wait for the next (EV-506).
    armed: u64,
    /// The handles whose descriptor was ready when the turn began.
    ready: Vec<Ready>,
    /// How many of them have been looked at.
    looked_at: usize,
    /// The handles whose descriptor the poller refused and that have not been called for it. They stay
    /// if the turn is given up: nobody reports a refusal again.
    pub(super) refused: VecDeque<Refusal>,
    /// How many of those are still to be called in this turn; what is refused meanwhile waits for the
    /// next one.
    pub(super) refusals: usize,
    /// How many free calls the turn may still make; set once nothing is left to call.
    frees: Option<usize>,
    /// Whether a call is out.
    pub(super) outstanding: bool,
}

/// A handle and what its descriptor reported. Each is looked up again before its call, so one that was
/// removed, disabled or replaced since is skipped (EV-507).
#[derive(Clone, Copy, Debug)]
struct Ready {
    serial: u64,
    slot: u32,
    events: Events,
}

/// A handle whose descriptor the poller refused: called once with [`Events::ERROR`] and disabled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) serial: u64,
    pub(super) slot: u32,
}

/// A callback to make, with the payload it is made with.
#[derive(Debug)]
#[must_use = "the payload is out of the table until the call is finished"]
pub enum Call<P, S = ()> {
    /// The handle's descriptor is ready. Give the payload back with
    /// [`finish_handle`](Core::finish_handle).
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
    /// [`finish_timeout`](Core::finish_timeout).
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

impl Turn {
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
fn note_stale(least: &mut Option<Token>, stale: Token) {
    *least = Some(least.map_or(stale, |least| least.min(stale)));
}

impl<P, S> Core<P, S> {
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
    pub fn begin_turn(&mut self, now: Time, ready: impl IntoIterator<Item = (Token, Events)>) {
        assert!(!self.turn.outstanding, "I8: a turn began during a call");
        self.turn.now = self.advance(now);
        self.turn.armed = self.armed;
        self.turn.frees = None;
        self.turn.looked_at = 0;
        self.turn.ready.clear();
        // Internal iteration: a poller of several backends then asks once which one it is.
        ready.into_iter().for_each(|(token, events)| {
            let Some(first) = self.descriptors.first_of(token) else {
                note_stale(&mut self.stale, token);
                return;
            };
            let mut at = first;
            while let Some(entry) = self.handles.get(at) {
                self.turn.ready.push(Ready {
                    serial: entry.serial,
                    slot: at,
                    events,
                });
                at = entry.next;
            }
        });
        self.turn.refusals = self.turn.refused.len();
    }

    /// The least token that an event was dropped for since this was last asked, for
    /// [`Phantoms`](super::Phantoms) to judge.
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
        self.turn.ready.clear();
        self.turn.looked_at = 0;
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
    pub fn next_call(&mut self) -> Option<Call<P, S>> {
        assert!(!self.turn.outstanding, "I8: a call began during a call");
        if planted(Defect::EarlyFree)
            && self.turn.frees.is_none()
            && let Some(freed) = self.frees.pop_front()
        {
            return Some(self.free(freed));
        }
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
            .filter(|entry| entry.serial == id.0.serial)
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
            .filter(|entry| entry.serial == id.0.serial)
            .expect("I8: the timeout of an outstanding call is in the table")
            .lifecycle
            .finish(payload);
    }

    /// The next due timeout. It is armed anew before it is called, so that an update inside its callback
    /// wins (EV-611, EV-803), from the time of the turn, so that missed periods are lost (EV-804).
    fn next_timeout(&mut self) -> Option<Call<P, S>> {
        loop {
            let (slot, due) = self.deadlines.first()?;
            if due.deadline > self.turn.now || due.armed > self.turn.armed {
                return None;
            }
            let entry = self.timeouts.get_mut(slot)?;
            let (serial, interval) = (entry.serial, entry.interval);
            let payload = entry.lifecycle.begin();
            self.arm(slot, self.turn.now, interval);
            if let Some(payload) = payload {
                self.turn.outstanding = true;
                let core = self.number;
                let id = TimeoutId(Key { serial, core, slot });
                return Some(Call::Timeout { id, payload });
            }
        }
    }

    /// The next ready handle that is still registered and enabled.
    fn next_handle(&mut self) -> Option<Call<P, S>> {
        while let Some(ready) = self.turn.ready.get(self.turn.looked_at).copied() {
            self.turn.looked_at += 1;
            let Some(entry) = self.handles.get_mut(ready.slot) else {
                continue;
            };
            let events = entry.interest.share_of(ready.events);
            if entry.serial != ready.serial || events.is_empty() {
                continue;
            }
            if let Some(payload) = entry.lifecycle.begin() {
                self.turn.outstanding = true;
                let id = HandleId(Key {
                    serial: ready.serial,
                    core: self.number,
                    slot: ready.slot,
                });
                let fd = entry.fd;
                return Some(Call::Handle {
                    id,
                    fd,
                    events,
                    payload,
                });
            }
        }
        None
    }

    /// The next handle whose descriptor was refused, if it is still registered and enabled. It is
    /// disabled before it is called, so that an update inside its callback wins and is tried anew.
    fn next_refusal(&mut self) -> Option<Call<P, S>> {
        while let Some(left) = self.turn.refusals.checked_sub(1) {
            self.turn.refusals = left;
            let Refusal { serial, slot } = self.turn.refused.pop_front()?;
            let entry = self.handles.get_mut(slot);
            let Some(entry) = entry.filter(|entry| entry.serial == serial) else {
                continue;
            };
            entry.refused = false;
            if entry.interest.is_empty() {
                continue;
            }
            if let Some(payload) = entry.lifecycle.begin() {
                entry.interest = Events::NONE;
                let fd = entry.fd;
                self.unite(fd);
                self.turn.outstanding = true;
                let core = self.number;
                return Some(Call::Handle {
                    id: HandleId(Key { serial, core, slot }),
                    fd,
                    events: Events::ERROR,
                    payload,
                });
            }
        }
        None
    }

    /// Lets an entry that was removed go.
    fn free(&mut self, freed: Freed) -> Call<P, S> {
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
        match lifecycle {
            Lifecycle::Removed(payload) => Call::Free { payload, source },
            _ => unreachable!("I5: freed before its last call was over"),
        }
    }
}
