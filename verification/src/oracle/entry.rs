//! What the oracle remembers of one add, and what it answers.

use super::Told;
use eventry::table::{Refused, Removal};
use eventry::{Events, MonotonicTime};
use std::os::fd::RawFd;

/// Names a registration for ever. It is also the payload that the table is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub u32);

/// One successful add.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its name.
    pub label: Label,
    /// What was added.
    pub what: What,
    /// Whether it has not been removed.
    pub registered: bool,
    /// Whether a call of it has begun and not finished.
    pub running: bool,
    /// Whether its free call was made.
    pub freed: bool,
}

/// What was added.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A handle.
    Handle {
        /// Its descriptor.
        fd: RawFd,
        /// What it wants.
        interest: Events,
    },
    /// A timeout.
    Timeout {
        /// Its interval.
        interval: Option<u64>,
        /// When it is due; none if it is disabled.
        deadline: Option<MonotonicTime>,
    },
}

/// What an op was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The op made no sense and nothing was done.
    Skipped,
    /// There is nothing to answer.
    Done,
    /// An entry was added.
    Added(Label),
    /// It was not.
    Refused(Refused),
    /// The id names no registered entry.
    NotRegistered,
    /// The entry was removed.
    Removed(Removal),
    /// When the next timeout is due.
    Deadline(Option<MonotonicTime>),
    /// What the poller is told before the loop sleeps.
    Told(Vec<Told>),
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
    /// When it is due, if it is an enabled timeout.
    pub(super) fn deadline(&self) -> Option<MonotonicTime> {
        match self.what {
            What::Timeout { deadline, .. } => deadline,
            What::Handle { .. } => None,
        }
    }
}
