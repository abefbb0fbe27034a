//! Entries and answers of the oracle.

use super::InterestChange;
use eventry::table::{Refused, Removal};
use eventry::{Events, MonotonicTime};
use std::os::fd::RawFd;

/// Permanent name of a registration, also used as its payload in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub u32);

/// An entry that was added.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Name of the entry.
    pub label: Label,
    /// Kind and settings of the entry.
    pub kind: EntryKind,
    /// The entry has not been removed.
    pub registered: bool,
    /// A call of the entry has begun and is not over.
    pub running: bool,
    /// The free call was made.
    pub freed: bool,
}

/// Kind and settings of an entry.
#[derive(Clone, Copy, Debug)]
pub enum EntryKind {
    /// A handle.
    Handle {
        /// Its descriptor.
        fd: RawFd,
        /// Its interest.
        interest: Events,
    },
    /// A timeout.
    Timeout {
        /// Its interval.
        interval: Option<u64>,
        /// Its deadline; none if it is disabled.
        deadline: Option<MonotonicTime>,
    },
}

/// Answer to an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The op did not apply to the state and had no effect.
    Skipped,
    /// The op has no result.
    Done,
    /// An entry was added.
    Added(Label),
    /// The addition was refused.
    Refused(Refused),
    /// The id names no registered entry.
    NotRegistered,
    /// The entry was removed.
    Removed(Removal),
    /// The next deadline.
    Deadline(Option<MonotonicTime>),
    /// The changes that the poller gets before the loop sleeps.
    Flushed(Vec<InterestChange>),
    /// These calls were taken; the first one begins.
    Taken(Vec<Answer>),
    /// A handle is called.
    Handle(Label, RawFd, Events),
    /// A timeout is called.
    Timeout(Label),
    /// An entry is freed.
    Free(Label),
    /// The turn is over.
    Nothing,
}

impl Registration {
    /// Returns the deadline of an enabled timeout.
    pub(super) fn deadline(&self) -> Option<MonotonicTime> {
        match self.kind {
            EntryKind::Timeout { deadline, .. } => deadline,
            EntryKind::Handle { .. } => None,
        }
    }
}
