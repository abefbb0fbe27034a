//! The calls that the loop takes from the table.

use crate::events::Events;
use crate::id::{CallbackId, HandleId, Key, TimeoutId};
use std::os::fd::RawFd;

/// A call that was taken, with the payload of the entry.
///
/// The loop makes it, or skips it if the table does not [confirm](super::Table::confirm) it, and then
/// [finishes](super::Table::finish) it.
#[derive(Clone, Debug)]
#[must_use = "the payload is out of the table until the call is finished"]
pub struct TakenCall<P> {
    pub(crate) arguments: CallArguments,
    /// The payload of the entry.
    pub payload: P,
}

/// The arguments of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallArguments {
    pub(crate) key: Key,
    /// The descriptor of the handle; −1 for a timeout.
    pub(crate) fd: RawFd,
    pub(crate) events: Events,
    pub(super) kind: CallKind,
}

/// The kind of a call, with the value from which the table finds out later if the call is still due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// A handle whose descriptor was reported with these events.
    Handle { reported: Events },
    /// A timeout that was armed again when it was taken; the low half of the number of that arming.
    Timeout { armed: u32 },
}

/// Removed entries whose last calls are over. Their payloads stay with the caller (EV-704).
#[derive(Clone, Debug)]
pub struct FreedEntries<P, S> {
    /// The payloads of the entries, in the order of removal.
    pub payloads: Vec<P>,
    /// The sources of the handles among them.
    pub sources: Vec<S>,
}

impl<P, S> Default for FreedEntries<P, S> {
    fn default() -> FreedEntries<P, S> {
        FreedEntries {
            payloads: Vec::new(),
            sources: Vec::new(),
        }
    }
}

impl<P> TakenCall<P> {
    /// Returns the id of the entry.
    #[must_use]
    pub fn id(&self) -> CallbackId {
        let key = self.arguments.key;
        match self.arguments.kind {
            CallKind::Handle { .. } => HandleId(key).into(),
            CallKind::Timeout { .. } => TimeoutId(key).into(),
        }
    }

    /// Returns the pending events that the interest of the handle covers, never empty (EV-310); none for a timeout.
    #[must_use]
    pub fn events(&self) -> Events {
        self.arguments.events
    }

    /// Returns the serial of the entry, which the loop publishes before it makes the call.
    #[inline]
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.arguments.key.serial.get()
    }
}
