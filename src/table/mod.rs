//! The table of handles and timeouts: every decision of the event API, without I/O, clock or lock.
//!
//! [`Table`] is a plain value. Time and readiness are arguments. What must follow from a change is a return
//! value ([`Effects`]), and so are what the poller must be told before the loop sleeps
//! ([`Table::next_change`]) and every callback to make ([`Table::next_call`]). The registry makes each call
//! atomic with one lock, so whatever threads do is *some* sequence of these calls, and sequences can be
//! searched exhaustively, generated and fuzzed without a thread.
//!
//! | | absent | Idle | Running | Cancelled | Removed |
//! |---|---|---|---|---|---|
//! | add | → Idle | – | – | – | – |
//! | update | `NotRegistered` | Idle | Running | `NotRegistered` | `NotRegistered` |
//! | remove | `NotRegistered` | → Removed, [`Removal::Idle`] | → Cancelled, [`Removal::InFlight`] | `NotRegistered` | `NotRegistered` |
//! | begin | skip | → Running, payload out | skip | skip | skip |
//! | finish | bug | bug | → Idle | → Removed | bug |
//! | free | – | – | – | – | → absent, payload out |
//!
//! The row is the same whether the call comes from another thread, another callback or the callback
//! itself: the table cannot tell and need not.
//!
//! The module deliberately knows nothing of callbacks or of descriptors' readiness: a payload is whatever the
//! caller wants back.

mod deadlines;
mod descriptors;
mod effects;
mod entry;
mod handles;
mod heap;
mod invariants;
mod lifecycle;
mod pages;
mod slots;
mod stale;
mod timeouts;
mod turn;

pub use effects::Effects;
pub(crate) use entry::EntryId;
pub use handles::Change;
pub use invariants::Violation;
pub use lifecycle::Removal;
pub use stale::StaleDetector;
pub use turn::DueCall;

use crate::id::{HandleId, TimeoutId, Token};
use crate::time::MonotonicTime;
use deadlines::Deadlines;
use descriptors::Descriptors;
use effects::Sleep;
use handles::Handle;
use pages::Pages;
use slots::{Slot, Slots};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use timeouts::Timeout;
use turn::Turn;

/// The table of handles and timeouts.
///
/// `P` is the payload of an entry, handed out for each call and at the end for good; `S` is what names a
/// handle's descriptor to the poller, which stays in the table until the entry is freed.
///
/// ```
/// use eventry::table::{DueCall, Change, Table, Removal};
/// use eventry::{Events, MonotonicTime};
///
/// let mut table: Table<&str> = Table::new(0);
/// let (id, effects) = table.add_handle(3, (), Events::READABLE, "three").unwrap();
/// assert!(!effects.wake, "the loop does not sleep");
/// let Some(Change::Register { token, .. }) = table.next_change() else { panic!() };
///
/// // The poller reports descriptor 3 as readable.
/// table.begin_turn(MonotonicTime::ZERO, [(token, Events::READABLE)]);
/// let Some(DueCall::Handle { id: called, payload, .. }) = table.next_call() else { panic!() };
/// assert_eq!((called, payload), (id, "three"));
///
/// // Removed while its callback runs: one last call is in flight, then it is freed.
/// let (removal, effects) = table.remove_handle(id).unwrap();
/// assert_eq!((removal, effects.deregister), (Removal::InFlight, Some(&())));
/// table.finish_handle(called, payload);
/// assert!(matches!(table.next_call(), Some(DueCall::Free { payload: "three", .. })));
/// assert!(table.next_call().is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Table<P, S = ()> {
    number: u32,
    serials: u64,
    handles: Handles<P, S>,
    descriptors: Descriptors,
    timeouts: Timeouts<P>,
    deadlines: Deadlines,
    /// The latest time anybody mentioned; it never runs backwards.
    now: MonotonicTime,
    /// How many times a timeout has been armed; orders those that are due at the same time.
    armed: u64,
    /// The least token that an event was dropped for.
    stale: Option<Token>,
    turn: Turn,
    /// What was removed and waits for its free call, in the order of removal (EV-710).
    frees: VecDeque<Freed>,
    closed: bool,
    /// Set while the loop is asked to stop.
    stop: bool,
    sleep: Sleep,
}

/// Handles are looked up for each event that is dispatched.
type Handles<P, S> = Slots<Handle<P, S>, Vec<Slot<Handle<P, S>>>>;

/// There may be a million timeouts, and most calls are additions and updates.
type Timeouts<P> = Slots<Timeout<P>, Pages<Slot<Timeout<P>>>>;

#[derive(Clone, Copy, Debug)]
enum Freed {
    Handle(u32),
    Timeout(u32),
}

/// The id names no registered entry: it was removed, or never issued, or by another loop (EV-205, EV-206).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such handle or timeout is registered")]
pub struct NotRegistered;

/// Why an entry was not added. The caller keeps what he offered (EV-207).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A descriptor is a number from 0 upward (EV-208).
    #[error("{0} is not a file descriptor")]
    NotADescriptor(std::os::fd::RawFd),
    /// All 2³²−1 slots are in use.
    #[error("the table is full")]
    Full,
    /// The loop this table belonged to is gone (EV-714).
    #[error("the event loop is gone")]
    Closed,
}

impl<P, S> Table<P, S> {
    /// An empty table. `number` tells its ids from those of other tables (EV-1103).
    #[must_use]
    pub fn new(number: u32) -> Table<P, S> {
        // Sorting pays off beyond some dozen timeouts.
        Table::with_gather_threshold(number, 64)
    }

    /// Creates an empty table in which a turn takes at least `timeouts` timeouts from the heap of deadlines
    /// before it takes out and sorts the others that are due.
    ///
    /// The threshold decides how much work is done and never which calls are made: with a low one, a small
    /// table reaches the sorted path.
    #[must_use]
    pub fn with_gather_threshold(number: u32, timeouts: usize) -> Table<P, S> {
        Table {
            number,
            serials: 0,
            handles: Slots::new(),
            descriptors: Descriptors::default(),
            timeouts: Slots::new(),
            deadlines: Deadlines::new(timeouts),
            now: MonotonicTime::ZERO,
            armed: 0,
            stale: None,
            turn: Turn::default(),
            frees: VecDeque::new(),
            closed: false,
            stop: false,
            sleep: Sleep::Awake,
        }
    }

    /// How many handles are registered or wait for their free call.
    #[must_use]
    pub fn handle_count(&self) -> usize {
        self.handles.len()
    }

    /// How many timeouts are registered or wait for their free call.
    #[must_use]
    pub fn timeout_count(&self) -> usize {
        self.timeouts.len()
    }

    /// How many entries were removed and wait for their free call.
    #[must_use]
    pub fn pending_frees(&self) -> usize {
        self.frees.len()
    }

    /// Whether a call of the handle runs, be it removed or not.
    #[must_use]
    pub fn is_handle_in_flight(&self, id: HandleId) -> bool {
        let entry = self.handles.get(id.0.slot);
        self.is_in_flight(id.0, entry.map(|entry| &entry.lifecycle))
    }

    /// Whether a call of the timeout runs, be it removed or not.
    #[must_use]
    pub fn is_timeout_in_flight(&self, id: TimeoutId) -> bool {
        let entry = self.timeouts.get(id.0.slot);
        self.is_in_flight(id.0, entry.map(|entry| &entry.lifecycle))
    }

    /// Whether a turn has something to do whatever the poller reports: the loop must not sleep.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.frees.is_empty() || !self.turn.refused.is_empty()
    }

    /// Removes every entry and refuses new ones: the loop is about to go (EV-714).
    ///
    /// What was removed is handed out for its free call by [`next_call`](Table::next_call) after
    /// [`begin_frees`](Table::begin_frees); no callback is called any more. The poller is told nothing.
    pub fn close(&mut self) {
        self.closed = true;
        let handles = self.handles.iter().map(|(slot, entry)| {
            (
                entry.lifecycle.serial(),
                Freed::Handle(slot),
                entry.lifecycle.is_registered(),
            )
        });
        let timeouts = self.timeouts.iter().map(|(slot, entry)| {
            (
                entry.lifecycle.serial(),
                Freed::Timeout(slot),
                entry.lifecycle.is_registered(),
            )
        });
        let mut registered: Vec<(u64, Freed)> = handles
            .chain(timeouts)
            .filter_map(|(serial, freed, registered)| registered.then_some((serial, freed)))
            .collect();
        registered.sort_unstable_by_key(|(serial, _)| *serial);
        for (_, freed) in registered {
            match freed {
                Freed::Handle(slot) => {
                    let entry = self.handles.get_mut(slot);
                    entry.and_then(|entry| entry.lifecycle.remove());
                }
                Freed::Timeout(slot) => {
                    let entry = self.timeouts.get_mut(slot);
                    entry.and_then(|entry| {
                        self.deadlines.disarm(&mut entry.alarm);
                        entry.lifecycle.remove()
                    });
                }
            }
            self.frees.push_back(freed);
        }
        self.deadlines.sweep(&self.timeouts);
        self.descriptors.clear();
        self.turn.refused.clear();
        self.turn.refusals = 0;
    }

    /// The serial of the next entry; it never repeats.
    fn next_serial(&mut self) -> NonZeroU64 {
        self.serials += 1;
        NonZeroU64::new(self.serials).expect("a counter that is added to is not zero")
    }

    /// The latest time anybody mentioned.
    pub(crate) fn latest_time(&self) -> MonotonicTime {
        self.now
    }

    /// Takes note of the time; it never runs backwards, so what is armed now is never due before what
    /// was armed earlier with the same interval.
    fn advance(&mut self, now: MonotonicTime) -> MonotonicTime {
        self.now = self.now.max(now);
        self.now
    }
}
