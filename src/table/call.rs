//! The calls that the loop takes from the table.

use crate::events::Events;
use crate::id::{CallbackId, HandleId, Key, TimeoutId};

/// A call that was taken, with the payload of the entry.
///
/// The loop makes it, or skips it if the table does not [confirm](super::Table::confirm) it, and then
/// [finishes](super::Table::finish) it.
#[derive(Clone, Debug)]
#[must_use = "the payload is out of the table until the call is finished"]
pub struct TakenCall<P> {
    pub(crate) key: Key,
    pub(super) kind: CallKind,
    /// The pending events that the interest of the handle covers, never empty (EV-310); none for a timeout.
    pub events: Events,
    /// The payload of the entry.
    pub payload: P,
}

/// The kind of a call, with the value from which the table finds out later if the call is still due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// A handle whose descriptor was reported with these events.
    Handle { reported: Events },
    /// A timeout that was armed again when it was taken; the low half of the number of that arming.
    Timeout { armed: u32 },
}

/// A removed entry whose last call is over. Its payload stays with the caller (EV-704).
#[derive(Clone, Debug)]
pub struct FreedEntry<P, S> {
    /// The payload of the removed entry.
    pub payload: P,
    /// The source of a removed handle.
    pub source: Option<S>,
}

impl<P> TakenCall<P> {
    /// Returns the id of the entry.
    #[must_use]
    pub fn id(&self) -> CallbackId {
        match self.kind {
            CallKind::Handle { .. } => HandleId(self.key).into(),
            CallKind::Timeout { .. } => TimeoutId(self.key).into(),
        }
    }

    /// Returns the serial of the entry, which the loop publishes before it makes the call.
    #[inline]
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.key.serial.get()
    }
}
