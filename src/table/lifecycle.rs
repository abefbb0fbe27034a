//! The states of one entry, and the result of a removal.

use crate::id::Key;
use std::fmt;
use std::num::NonZeroU64;

/// The serial and the state of an entry, and its payload while that is in the table.
///
/// Two facts make the four states: whether the entry was removed, and whether its payload is in the table.
///
/// ```text
///            take                 remove
///   add ──► Idle ─────► Taken ──────────► Cancelled
///            │  ◄─────     │                  │
///            │   finish                       │ finish
///            │ remove                         ▼
///            └────────────────────────► Removed ──► absent
///                                           hand out free
/// ```
///
/// | | payload in the table | payload with the loop |
/// |---|---|---|
/// | registered | Idle | Taken: its call runs, or follows unless the entry changes |
/// | removed | Removed: waits for its free call | Cancelled: its last call may run |
///
/// While the loop has the payload, the table can neither hand it out again nor free it. So ownership guarantees that
/// a callback is never entered twice, never freed while it runs, and freed at most once. [`Begun`](super::begun::Begun)
/// records which of the taken calls runs.
#[derive(Clone)]
pub(super) struct Lifecycle<P> {
    payload: Option<P>,
    /// The serial, and the bit [`REMOVED`] once the entry is removed. The id of the entry then does not match any
    /// more, without a field or a comparison for the removal.
    tag: NonZeroU64,
}

/// The mark of a removed entry. No serial has this bit, because 2⁶³ additions take centuries.
const REMOVED: u64 = 1 << 63;

/// The state of the callback when its entry was removed (EV-702).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the callback may still run unless this is `Removal::Idle`"]
pub enum Removal {
    /// No call of the callback runs, and none will begin.
    Idle,
    /// One call is running. It is the last one.
    InFlight,
}

impl<P> Lifecycle<P> {
    /// Creates the state of a new entry, which is idle.
    pub(super) fn new(serial: NonZeroU64, payload: P) -> Lifecycle<P> {
        Lifecycle {
            payload: Some(payload),
            tag: serial,
        }
    }

    /// Returns the serial of the entry, also if the entry was removed.
    pub(super) fn serial(&self) -> u64 {
        self.tag.get() & !REMOVED
    }

    /// Returns the key of the entry in `slot` of the table with this number. The entry must be registered.
    pub(super) fn key(&self, table: u32, slot: u32) -> Key {
        let serial = self.tag;
        Key {
            serial,
            table,
            slot,
        }
    }

    /// Returns whether the entry is registered and has this serial.
    pub(super) fn is_named_by(&self, serial: NonZeroU64) -> bool {
        self.tag == serial
    }

    /// Returns whether the entry is registered.
    pub(super) fn is_registered(&self) -> bool {
        self.tag.get() & REMOVED == 0
    }

    /// Returns whether the entry is taken for a call, so that its payload is with the loop.
    #[inline]
    pub(super) fn is_taken(&self) -> bool {
        self.payload.is_none()
    }

    /// Marks the entry as removed.
    pub(super) fn remove(&mut self) {
        self.tag |= REMOVED;
    }

    /// Takes the payload out for a call, if the entry is registered and not taken.
    pub(super) fn take(&mut self) -> Option<P> {
        if self.is_registered() {
            self.payload.take()
        } else {
            None
        }
    }

    /// Takes the payload out for a call, if the entry is registered, its serial is at most `serial`, and it is not taken.
    #[inline]
    pub(super) fn take_if_added_until(&mut self, serial: u64) -> Option<P> {
        // The mark of a removed entry makes the tag larger than any serial.
        if self.tag.get() <= serial {
            self.payload.take()
        } else {
            None
        }
    }

    /// Puts the payload back after a call.
    ///
    /// # Panics
    ///
    /// If the entry was not taken (I8).
    pub(super) fn finish(&mut self, payload: P) {
        assert!(self.is_taken(), "I8: the finished call was not taken");
        self.payload = Some(payload);
    }

    /// Returns the payload of a removed entry, for its free call.
    ///
    /// # Panics
    ///
    /// If the entry is taken, or was not removed (I5).
    #[inline]
    pub(super) fn take_freed(&mut self) -> P {
        let is_over = !self.is_registered() && !self.is_taken();
        assert!(
            is_over,
            "I5: an entry was freed before its last call was over"
        );
        self.payload
            .take()
            .expect("the payload of an entry that is not taken is in the table")
    }
}

impl<P: fmt::Debug> fmt::Debug for Lifecycle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("payload", &self.payload)
            .field("serial", &self.serial())
            .field("registered", &self.is_registered())
            .finish()
    }
}
