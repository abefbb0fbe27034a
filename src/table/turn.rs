//! One turn of the loop: a snapshot of the due timeouts and ready handles, which are then taken and called one by one.

use super::begun::Begun;
use super::call::{CallArguments, CallKind, FreedEntries, TakenCall};
use super::slots::NONE;
use super::{Freed, Table};
use crate::events::Events;
use crate::id::{Key, Token};
use crate::time::MonotonicTime;
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// The running turn. Its vector keeps its capacity from turn to turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// The time when the turn began.
    now: MonotonicTime,
    /// The latest serial before the poller waited. Handles added later wait for the next turn, because the events may
    /// be those of another file that had the same number.
    serial: u64,
    /// True until no due timeout is left: from then on, timeouts that become due wait for the next turn.
    has_due_timeouts: bool,
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
    pub(super) frees: Option<usize>,
    /// The number of calls that were taken and are not finished.
    pub(super) taken: usize,
    /// The one of them that has begun.
    pub(super) begun: Begun,
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

impl Default for Turn {
    fn default() -> Turn {
        Turn {
            now: MonotonicTime::ZERO,
            serial: 0,
            has_due_timeouts: false,
            ready: Vec::new(),
            looked_at: 0,
            cursor: NONE,
            events: Events::NONE,
            refused: VecDeque::new(),
            refusals: 0,
            frees: None,
            taken: 0,
            begun: Begun::default(),
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
    /// [`next_change`](Table::next_change), are not called before the next turn (EV-506, EV-1002). Events with a
    /// token that is no longer registered are dropped.
    ///
    /// The calls that an earlier turn left are abandoned: the poller reports a descriptor that is still ready
    /// again, a timeout that is still due is called in this turn, and so is a handle with a pending refusal.
    ///
    /// # Panics
    ///
    /// If a call was taken and is not finished.
    pub fn begin_turn(
        &mut self,
        now: MonotonicTime,
        ready: impl IntoIterator<Item = (Token, Events)>,
    ) {
        assert!(self.turn.taken == 0, "I8: a turn began during a call");
        self.turn.now = self.advance(now);
        self.deadlines
            .begin_turn(self.turn.now, self.armed, &mut self.timeouts);
        self.turn.has_due_timeouts = self.deadlines.has_due();
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
    /// If a call was taken and is not finished.
    pub fn begin_frees(&mut self) {
        assert!(self.turn.taken == 0, "I8: a turn began during a call");
        self.turn.clear();
        self.turn.refusals = 0;
        self.turn.frees = Some(self.frees.len());
    }

    /// Appends the next calls of the turn to `batch`, until that has `limit` calls: due timeouts by deadline, then
    /// ready handles in the order reported, then handles with a refused descriptor (EV-502).
    ///
    /// The first call, taken while no other one is out, begins at once. Each other one begins when it is made; if a
    /// taken entry was changed since the batch was taken, it must be [confirmed](Table::confirm) first. The calls are
    /// made in the order in which they were taken, and all of them are finished, also those that are not made.
    ///
    /// No call is taken along with one for a refused descriptor. If none is appended although no other call is out,
    /// only [free calls](Table::take_free) are left in the turn.
    #[inline]
    pub fn take_calls(&mut self, batch: &mut Vec<TakenCall<P>>, limit: usize) {
        if !self.has_calls() {
            return;
        }
        let before = batch.len();
        if self.turn.has_due_timeouts {
            self.take_timeouts(batch, limit);
        }
        self.take_handles(batch, limit);
        if self.turn.taken == 0 {
            if batch.len() == before && limit > before && self.turn.refusals > 0 {
                batch.extend(self.next_refusal());
            }
            if let Some(first) = batch.get(before) {
                self.turn.begun.begin_first(first.serial());
            }
        }
        self.turn.taken += batch.len() - before;
    }

    /// Takes a removed entry out of the table, for its free call, in the order of removal (EV-710), and appends it to
    /// `freed`. Returns `false` if other calls of the turn are left or out, or no free call is left.
    ///
    /// Entries removed by a free call are freed in the next turn, so the number of calls in a turn is bounded.
    #[inline]
    pub fn take_free(&mut self, freed: &mut FreedEntries<P, S>) -> bool {
        if self.turn.taken > 0 || self.has_calls() {
            return false;
        }
        let left = self.turn.frees.get_or_insert(self.frees.len());
        let Some(rest) = left.checked_sub(1) else {
            return false;
        };
        *left = rest;
        let Some(next) = self.frees.pop_front() else {
            return false;
        };
        self.free(next, freed);
        true
    }

    /// Returns whether calls other than free calls may be left in the turn.
    #[must_use]
    #[inline]
    pub fn has_calls(&self) -> bool {
        let turn = &self.turn;
        let are_handles_left = turn.cursor != NONE || turn.looked_at < turn.ready.len();
        turn.frees.is_none() && (turn.has_due_timeouts || are_handles_left || turn.refusals > 0)
    }

    /// Records that a thread that is about to update or remove a [taken](Table::is_handle_taken) entry has counted the
    /// change, and has then read `published`: the serial of the entry whose call the loop published last, or 0 if no
    /// call runs.
    pub fn observe(&mut self, published: u64) {
        self.turn.begun.observe(published);
    }

    /// Asks about a taken call that is to be made now, after a change of a taken entry since the batch was taken.
    /// Returns whether it must be made, with the [events](TakenCall::events) according to the present interest
    /// (EV-507), and records that it begins.
    ///
    /// A call is not made if its handle was removed, disabled or is not ready any more for its interest (EV-601…604),
    /// or if its timeout was removed, disabled or armed again since (EV-607, EV-609). A call that a removal took for
    /// begun is always made, so that [`Removal::InFlight`](super::Removal::InFlight) is true.
    pub fn confirm(&mut self, call: &mut TakenCall<P>) -> bool {
        let call = &mut call.arguments;
        let Key { serial, slot, .. } = call.key;
        let has_begun = self.turn.begun.is(serial.get());
        let is_due = has_begun
            || match call.kind {
                CallKind::Handle { reported } => {
                    let entry = self.handles.get(slot);
                    let entry = entry.filter(|entry| entry.lifecycle.is_named_by(serial));
                    let interest = entry.map_or(Events::NONE, |entry| entry.interest);
                    call.events = interest.filter_ready(reported);
                    !call.events.is_empty()
                }
                CallKind::Timeout { armed } => {
                    let entry = self.timeouts.get(slot);
                    let entry = entry.filter(|entry| entry.lifecycle.is_named_by(serial));
                    let due = entry.and_then(|entry| entry.alarm.due());
                    due.is_some_and(|due| due.armed == armed)
                }
            };
        let begun = if is_due { serial.get() } else { 0 };
        self.turn.begun.begin_confirmed(begun);
        is_due
    }

    /// Puts the payload of a taken call back. The callback has returned, or was not called; no call runs.
    ///
    /// # Panics
    ///
    /// If the entry is not taken.
    pub fn finish(&mut self, call: TakenCall<P>) {
        self.turn.taken = self.turn.taken.saturating_sub(1);
        self.turn.begun = Begun::default();
        self.put_back(call);
    }

    /// [Finishes](Table::finish) all calls of a batch.
    ///
    /// # Panics
    ///
    /// If one of the entries is not taken.
    #[inline(never)]
    pub fn finish_all(&mut self, batch: &mut Vec<TakenCall<P>>) {
        self.turn.taken = self.turn.taken.saturating_sub(batch.len());
        self.turn.begun = Begun::default();
        while let Some(call) = batch.pop() {
            self.put_back(call);
        }
    }

    #[inline]
    fn put_back(&mut self, call: TakenCall<P>) {
        let CallArguments { key, kind, .. } = call.arguments;
        let Key { serial, slot, .. } = key;
        let lifecycle = match kind {
            CallKind::Handle { .. } => self.handles.get_mut(slot).map(|entry| &mut entry.lifecycle),
            CallKind::Timeout { .. } => {
                let entry = self.timeouts.get_mut(slot);
                entry.map(|entry| &mut entry.lifecycle)
            }
        };
        lifecycle
            .filter(|lifecycle| lifecycle.serial() == serial.get())
            .expect("I8: a taken entry is in the table")
            .finish(call.payload);
    }

    /// Takes the calls of due timeouts. A timeout is armed again before its call, so that an update inside its callback
    /// takes precedence (EV-611, EV-803), and from the time of the turn, so that missed periods are lost (EV-804).
    fn take_timeouts(&mut self, batch: &mut Vec<TakenCall<P>>, limit: usize) {
        while batch.len() < limit {
            let Some((slot, deadline)) = self.deadlines.take_due(&mut self.timeouts) else {
                self.turn.has_due_timeouts = false;
                return;
            };
            debug_assert!(
                deadline <= self.turn.now,
                "EV-806: a timeout is called early"
            );
            let entry = self.timeouts.get_mut(slot);
            let entry = entry.expect("I12: an armed timeout is in the table");
            let payload = entry.lifecycle.take();
            let payload = payload.expect("I12: an armed timeout is registered and idle");
            entry.arm(slot, self.turn.now, &mut self.armed, &mut self.deadlines);
            let arguments = CallArguments {
                key: entry.lifecycle.key(self.number, slot),
                fd: -1,
                events: Events::NONE,
                kind: CallKind::Timeout {
                    armed: self.armed as u32,
                },
            };
            batch.push(TakenCall { arguments, payload });
        }
    }

    /// Takes the calls of ready handles that are still registered and enabled.
    #[inline(never)]
    fn take_handles(&mut self, batch: &mut Vec<TakenCall<P>>, limit: usize) {
        let turn = &mut self.turn;
        let mut reports = turn.ready[turn.looked_at..].iter();
        let mut reported = turn.events;
        let mut slot = turn.cursor;
        batch.reserve(limit.saturating_sub(batch.len()));
        // The capacity is sufficient for `limit` calls. With the second condition, the compiler leaves out the code that
        // grows the vector.
        while batch.len() < limit && batch.len() < batch.capacity() {
            let Some(entry) = self.handles.get_mut(slot) else {
                let Some(&Report { fd, events }) = reports.next() else {
                    break;
                };
                reported = events;
                slot = self.descriptors.first_on(fd);
                continue;
            };
            let events = entry.interest.filter_ready(reported);
            if !events.is_empty() {
                if let Some(payload) = entry.lifecycle.take_if_added_until(turn.serial) {
                    let arguments = CallArguments {
                        key: entry.lifecycle.key(self.number, slot),
                        fd: entry.fd,
                        events,
                        kind: CallKind::Handle { reported },
                    };
                    batch.push(TakenCall { arguments, payload });
                }
            }
            slot = entry.next;
        }
        turn.looked_at = turn.ready.len() - reports.len();
        turn.events = reported;
        turn.cursor = slot;
    }

    /// Takes the call of the next handle with a refused descriptor that is still registered and enabled. The
    /// handle is disabled before its call, so that an update inside its callback takes precedence and registers the
    /// descriptor again.
    #[cold]
    fn next_refusal(&mut self) -> Option<TakenCall<P>> {
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
            if let Some(payload) = entry.lifecycle.take() {
                entry.interest = Events::NONE;
                let key = entry.lifecycle.key(self.number, slot);
                let fd = entry.fd;
                self.update_union(fd);
                let events = Events::ERROR;
                let arguments = CallArguments {
                    key,
                    fd,
                    events,
                    kind: CallKind::Handle { reported: events },
                };
                return Some(TakenCall { arguments, payload });
            }
        }
        None
    }

    /// Takes a removed entry out of the table.
    #[inline]
    fn free(&mut self, next: Freed, freed: &mut FreedEntries<P, S>) {
        let payload = match next {
            Freed::Handle(slot) => {
                let entry = self.handles.get_mut(slot);
                let entry = entry.expect("I7: a removed handle stays until it is freed");
                let payload = entry.lifecycle.take_freed();
                self.handles.vacate(slot);
                let source = self.sources.get_mut(slot as usize);
                freed.sources.extend(source.and_then(Option::take));
                payload
            }
            Freed::Timeout(slot) => {
                let entry = self.timeouts.get_mut(slot);
                let entry = entry.expect("I7: a removed timeout stays until it is freed");
                let payload = entry.lifecycle.take_freed();
                self.timeouts.vacate(slot);
                payload
            }
        };
        freed.payloads.push(payload);
    }
}
