//! One registration in the ledger, and its payload in the table.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use eventry::{Events, HandleId, MonotonicTime, TimeoutId};

use crate::script::Side;
use crate::world::World;

/// Logical time: later events have greater stamps.
pub(crate) type Stamp = u64;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) acts_on_free: bool,
    pub(crate) running: bool,
    pub(crate) freed: bool,
    pub(crate) source_dropped: bool,
    /// Time of the addition.
    pub(crate) added: Stamp,
    /// Time of the addition or the last update.
    pub(crate) touched: Stamp,
    /// Number of the turn of the last call.
    pub(crate) called_in: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Handle {
        id: Option<HandleId>,
        fd: RawFd,
        interest: Events,
    },
    Timeout {
        id: Option<TimeoutId>,
        interval: Option<Duration>,
        deadline: Option<MonotonicTime>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The addition has not returned.
    Offered,
    Registered,
    Removed(Stamp),
    /// The addition failed.
    Refused,
}

impl Entry {
    pub(crate) fn is_registered(&self) -> bool {
        self.state == State::Registered
    }

    /// Returns true if the entry is removed and not freed.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Removed(_)) && !self.freed
    }

    /// Returns the deadline of an armed timeout.
    pub(crate) fn deadline(&self) -> Option<MonotonicTime> {
        match self.kind {
            Kind::Timeout { deadline, .. } if self.is_registered() => deadline,
            _ => None,
        }
    }

    /// Returns the descriptor and interest of a registered and enabled handle.
    pub(crate) fn interest(&self) -> Option<(RawFd, Events)> {
        match self.kind {
            Kind::Handle { fd, interest, .. } if self.is_registered() && !interest.is_empty() => {
                Some((fd, interest))
            }
            _ => None,
        }
    }

    /// Disables the entry.
    pub(crate) fn disable(&mut self) {
        match &mut self.kind {
            Kind::Handle { interest, .. } => *interest = Events::NONE,
            Kind::Timeout {
                interval, deadline, ..
            } => (*interval, *deadline) = (None, None),
        }
    }
}

/// The value that a callback owns; its drop is the free call.
pub(crate) struct Payload {
    pub(crate) world: Arc<World>,
    pub(crate) index: usize,
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.world.freed(self.index);
    }
}
