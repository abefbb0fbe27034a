//! The states of one entry, and the result of a removal.

use crate::id::Key;
use std::fmt;
use std::num::NonZeroU64;

/// The serial and the state of an entry, and its payload while that is in the table.
///
/// Two facts make the four states: whether the entry was removed, and whether its payload is in the table.
///
/// ```text
///            begin                remove
///   add ──► Idle ─────► Running ────────► Cancelled
///            │  ◄─────     │                  │
///            │   finish                       │ finish
///            │ remove                         ▼
///            └────────────────────────► Removed ──► absent
///                                           hand out free
/// ```
///
/// | | payload in the table | payload with the loop |
/// |---|---|---|
/// | registered | Idle | Running: its callback runs |
/// | removed | Removed: waits for its free call | Cancelled: its last call runs |
///
/// While the loop has the payload, the table can neither call nor free it. So ownership guarantees that a
/// callback is never entered twice, never freed while it runs, and freed at most once.
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

    /// Returns whether a call runs, so that the payload is with the loop.
    pub(super) fn is_in_flight(&self) -> bool {
        self.payload.is_none()
    }

    /// Marks a registered entry as removed. Returns `None` if it was removed before.
    pub(super) fn remove(&mut self) -> Option<Removal> {
        if !self.is_registered() {
            return None;
        }
        self.tag |= REMOVED;
        Some(if self.is_in_flight() {
            Removal::InFlight
        } else {
            Removal::Idle
        })
    }

    /// Takes the payload out for a call, if the entry is registered and no call of it runs.
    pub(super) fn begin(&mut self) -> Option<P> {
        if self.is_registered() {
            self.payload.take()
        } else {
            None
        }
    }

    /// Puts the payload back after a call.
    ///
    /// # Panics
    ///
    /// If no call was outstanding (I8).
    pub(super) fn finish(&mut self, payload: P) {
        assert!(
            self.is_in_flight(),
            "I8: the finished call was not outstanding"
        );
        self.payload = Some(payload);
    }

    /// Returns the payload of a removed entry, for its free call.
    ///
    /// # Panics
    ///
    /// If a call still runs, or the entry was not removed (I5).
    pub(super) fn into_freed(self) -> P {
        let is_over = !self.is_registered() && !self.is_in_flight();
        assert!(
            is_over,
            "I5: an entry was freed before its last call was over"
        );
        self.payload
            .expect("the payload is in the table while no call runs")
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
