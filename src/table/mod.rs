//! The table of handles and timeouts: every decision of the event API, without I/O, clock or lock.
//!
//! [`Table`] is a plain value. Time and readiness are arguments. The consequences of a change are returned as
//! [`Effects`], the changes for the poller by [`Table::next_change`], and the callbacks to call by
//! [`Table::take_calls`]. The registry makes each operation atomic with one lock, so any interleaving of threads
//! is a sequence of these operations. Sequences can be searched exhaustively, generated and fuzzed without a
//! thread.
//!
//! | | absent | Idle | Taken | Cancelled | Removed |
//! |---|---|---|---|---|---|
//! | add | → Idle | – | – | – | – |
//! | update | `NotRegistered` | Idle | Taken | `NotRegistered` | `NotRegistered` |
//! | remove | `NotRegistered` | → Removed, [`Removal::Idle`] | → Cancelled, [`Removal::InFlight`] if its call has begun | `NotRegistered` | `NotRegistered` |
//! | take | skip | → Taken, payload out | skip | skip | skip |
//! | confirm | bug | bug | call, if it is still due | call, if it has begun | bug |
//! | finish | bug | bug | → Idle | → Removed | bug |
//! | free | – | – | – | – | → absent, payload out |
//!
//! The same transitions apply to calls by another thread, by another callback and by the callback itself: the
//! table does not distinguish them.
//!
//! The module does not depend on callbacks or on the poller: the type of a payload is up to the caller.

mod begun;
mod call;
mod deadlines;
mod descriptors;
mod effects;
mod entry;
mod handles;
mod int_ids;
mod invariants;
mod lifecycle;
mod radix;
mod slots;
mod stale;
mod timeouts;
mod turn;
mod view;

pub(crate) use call::CallArguments;
pub use call::{FreedEntries, TakenCall};
pub use effects::Effects;
pub(crate) use entry::{EntryId, EntryName, IntId};
pub use handles::Change;
pub(crate) use int_ids::int_id_of;
pub use invariants::Violation;
pub use lifecycle::Removal;
pub use stale::StaleDetector;
pub use view::{EntryView, View};

use crate::id::{HandleId, TimeoutId, Token};
use crate::time::MonotonicTime;
use deadlines::Deadlines;
use descriptors::Descriptors;
use effects::Sleep;
use handles::Handle;
use int_ids::IntIds;
use slots::Slots;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use timeouts::Timeout;
use turn::Turn;

/// The table of handles and timeouts.
///
/// `P` is the payload of an entry. The table hands it out for each call, and for the last time when the entry is
/// freed. `S` is the source by which the poller identifies the descriptor of a handle; it stays in the table
/// until the entry is freed.
///
/// ```
/// use eventry::table::{Change, FreedEntries, Removal, Table};
/// use eventry::{Events, MonotonicTime};
///
/// let mut table: Table<&str> = Table::new(0);
/// let (id, effects) = table.add_handle(3, (), Events::READABLE, "three").unwrap();
/// assert!(!effects.wake, "the loop does not sleep");
/// let Some(Change::Register { token, .. }) = table.next_change() else { panic!() };
///
/// // The poller reports descriptor 3 as readable.
/// table.begin_turn(MonotonicTime::ZERO, [(token, Events::READABLE)]);
/// let mut batch = Vec::new();
/// table.take_calls(&mut batch, 32);
/// let call = batch.pop().expect("the handle is ready");
/// assert_eq!((call.id(), call.payload), (id.into(), "three"));
///
///
/// // The first call of a batch has begun. The handle is removed while its callback runs: the last call is in flight,
/// // then the entry is freed.
/// let (removal, effects) = table.remove_handle(id).unwrap();
/// assert_eq!((removal, effects.deregister), (Removal::InFlight, Some(&())));
/// table.finish(call);
/// let mut freed = FreedEntries::default();
/// assert!(table.take_free(&mut freed), "it was removed");
/// assert_eq!(freed.payloads, ["three"]);
/// assert!(!table.take_free(&mut freed));
/// ```
#[derive(Clone, Debug)]
pub struct Table<P, S = ()> {
    number: u32,
    serials: u64,
    int_ids: IntIds,
    handles: Slots<Handle<P>>,
    /// The sources of the handles by slot, apart from what a dispatch reads.
    sources: Vec<Option<S>>,
    descriptors: Descriptors,
    timeouts: Slots<Timeout<P>>,
    deadlines: Deadlines,
    /// The latest time passed to the table. It never decreases.
    now: MonotonicTime,
    /// The number of armings so far. It orders the timeouts that are due at the same time.
    armed: u64,
    /// The lowest token of the events that were dropped.
    stale: Option<Token>,
    turn: Turn,
    /// The latest serial when the poller got the latest change. Later handles may be for other files than the events
    /// that the poller reports, so they wait for the next change.
    flushed_serial: u64,
    /// The removed entries that wait for their free call, in the order of removal (EV-710).
    frees: VecDeque<Freed>,
    closed: bool,
    /// True while a stop is requested.
    stop: bool,
    sleep: Sleep,
}

#[derive(Clone, Copy, Debug)]
enum Freed {
    Handle(u32),
    Timeout(u32),
}

/// An error: the id is not the id of a registered entry. The entry was removed, or the id was never issued, or
/// another loop issued it (EV-205, EV-206).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such handle or timeout is registered")]
pub struct NotRegistered;

/// The reason why an entry was not added. Payload and source are returned to the caller (EV-207).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The descriptor is negative (EV-208).
    #[error("{0} is not a file descriptor")]
    NotADescriptor(std::os::fd::RawFd),
    /// All 2³²−1 slots are in use.
    #[error("the table is full")]
    Full,
    /// The loop of this table was dropped (EV-714).
    #[error("the event loop is gone")]
    Closed,
    /// The entries have integer ids, and all of them are in use (EV-204).
    #[error("all integer ids are in use")]
    IdsExhausted,
}

impl<P, S> Table<P, S> {
    /// Creates an empty table. `number` distinguishes its ids from those of other tables (EV-1103).
    #[must_use]
    pub fn new(number: u32) -> Table<P, S> {
        // Beyond some dozen nodes, their distribution is faster than repeated searches for the first one.
        Table::with_longest_leaf(number, 32)
    }

    /// Creates an empty table that examines up to `nodes` nodes of the order of deadlines for the first one, before it
    /// distributes them over smaller leaves.
    ///
    /// The number affects the amount of work only, never the calls: with a low number, a small table distributes its
    /// deadlines.
    #[must_use]
    pub fn with_longest_leaf(number: u32, nodes: usize) -> Table<P, S> {
        Table {
            number,
            serials: 0,
            int_ids: IntIds::default(),
            handles: Slots::new(),
            sources: Vec::new(),
            descriptors: Descriptors::default(),
            timeouts: Slots::new(),
            deadlines: Deadlines::new(nodes),
            now: MonotonicTime::ZERO,
            armed: 0,
            stale: None,
            turn: Turn::default(),
            flushed_serial: 0,
            frees: VecDeque::new(),
            closed: false,
            stop: false,
            sleep: Sleep::Awake,
        }
    }

    /// Returns the number of handles that are registered or wait for their free call.
    #[must_use]
    pub fn handle_count(&self) -> usize {
        self.handles.len()
    }

    /// Returns the number of timeouts that are registered or wait for their free call.
    #[must_use]
    pub fn timeout_count(&self) -> usize {
        self.timeouts.len()
    }

    /// Returns the number of removed entries that wait for their free call.
    #[must_use]
    pub fn pending_frees(&self) -> usize {
        self.frees.len()
    }

    /// Returns whether a call of the handle has begun and may still run, also if the handle was removed.
    #[must_use]
    pub fn is_handle_in_flight(&self, id: HandleId) -> bool {
        self.turn.begun.is(id.0.serial.get()) && self.is_handle_taken(id)
    }

    /// Returns whether a call of the timeout has begun and may still run, also if the timeout was removed.
    #[must_use]
    pub fn is_timeout_in_flight(&self, id: TimeoutId) -> bool {
        self.turn.begun.is(id.0.serial.get()) && self.is_timeout_taken(id)
    }

    /// Returns whether the handle is taken for a call, also if it was removed since. Before a change of a taken entry,
    /// the caller [observes](Table::observe) which call has begun.
    #[must_use]
    pub fn is_handle_taken(&self, id: HandleId) -> bool {
        let entry = self.handles.get(id.0.slot);
        self.is_taken(id.0, entry.map(|entry| &entry.lifecycle))
    }

    /// Returns whether the timeout is taken for a call, also if it was removed since.
    #[must_use]
    pub fn is_timeout_taken(&self, id: TimeoutId) -> bool {
        let entry = self.timeouts.get(id.0.slot);
        self.is_taken(id.0, entry.map(|entry| &entry.lifecycle))
    }

    /// Returns whether a timeout is armed, so that a turn needs to know the time.
    #[must_use]
    pub fn has_armed_timeouts(&self) -> bool {
        self.deadlines.len() > 0
    }

    /// Returns whether the next turn has work even if the poller reports nothing. The loop must not sleep then.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.frees.is_empty() || !self.turn.refused.is_empty()
    }

    /// Removes every entry and refuses new ones, because the loop is being dropped (EV-714).
    ///
    /// After [`begin_frees`](Table::begin_frees), [`take_free`](Table::take_free) returns the free calls of the
    /// removed entries; no callback is called any more. There are no changes for the poller.
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
                    if let Some(entry) = entry {
                        entry.lifecycle.remove();
                    }
                }
                Freed::Timeout(slot) => {
                    let entry = self.timeouts.get_mut(slot);
                    if let Some(entry) = entry {
                        self.deadlines.disarm(&mut entry.alarm);
                        entry.lifecycle.remove();
                    }
                }
            }
            self.frees.push_back(freed);
        }
        self.deadlines.sweep(&self.timeouts);
        self.int_ids.clear();
        self.descriptors.clear();
        self.turn.refused.clear();
        self.turn.refusals = 0;
    }

    /// Returns the serial of the next entry. Serials never repeat. Those whose integer id is in use are left out; there
    /// must be an id that is not.
    fn next_serial(&mut self) -> NonZeroU64 {
        loop {
            self.serials += 1;
            if !self.int_ids.is_in_use(self.serials) {
                return NonZeroU64::new(self.serials).expect("the incremented counter is not zero");
            }
        }
    }

    /// Returns the latest time passed to the table.
    pub(crate) fn latest_time(&self) -> MonotonicTime {
        self.now
    }

    /// Records the time, and returns the latest time recorded. That never decreases, so a timeout armed now is
    /// not due before one that was armed earlier with the same interval.
    fn advance(&mut self, now: MonotonicTime) -> MonotonicTime {
        self.now = self.now.max(now);
        self.now
    }
}
