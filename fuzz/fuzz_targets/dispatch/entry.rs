//! One registration, as the book knows it, and what the table holds for it.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use eventry::{Events, HandleId, MonotonicTime, TimeoutId};

use crate::scene::Scene;
use crate::tape::Side;

/// What counts all that happens: later is greater.
pub(crate) type Stamp = u64;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    pub(crate) life: Life,
    pub(crate) meddles: bool,
    pub(crate) running: bool,
    pub(crate) freed: bool,
    pub(crate) source_dropped: bool,
    /// When it was added.
    pub(crate) added: Stamp,
    /// When it was last added or updated.
    pub(crate) touched: Stamp,
    /// The turn it was last called in.
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
pub(crate) enum Life {
    /// It is being added.
    Offered,
    Registered,
    Removed(Stamp),
    /// It was never added.
    Refused,
}

impl Entry {
    pub(crate) fn is_registered(&self) -> bool {
        self.life == Life::Registered
    }

    /// Whether it was removed and waits to be freed.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.life, Life::Removed(_)) && !self.freed
    }

    /// When it is to be called next; of a timeout that is armed.
    pub(crate) fn deadline(&self) -> Option<MonotonicTime> {
        match self.kind {
            Kind::Timeout { deadline, .. } if self.is_registered() => deadline,
            _ => None,
        }
    }

    /// The descriptor and interest of a handle that is registered and enabled.
    pub(crate) fn interest(&self) -> Option<(RawFd, Events)> {
        match self.kind {
            Kind::Handle { fd, interest, .. } if self.is_registered() && !interest.is_empty() => {
                Some((fd, interest))
            }
            _ => None,
        }
    }

    /// From now on it is not called any more.
    pub(crate) fn disable(&mut self) {
        match &mut self.kind {
            Kind::Handle { interest, .. } => *interest = Events::NONE,
            Kind::Timeout {
                interval, deadline, ..
            } => (*interval, *deadline) = (None, None),
        }
    }
}

/// What a callback owns: its drop is the free call.
pub(crate) struct Payload {
    pub(crate) scene: Arc<Scene>,
    pub(crate) index: usize,
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.scene.freed(self.index);
    }
}
