//! The life of one entry, and what a removal answers.

use crate::id::Key;
use std::fmt;
use std::num::NonZeroU64;

/// Which entry this is, where it is in its life, and its payload while that is at home.
///
/// Two facts make the four states: whether the entry was removed, and whether its payload is home.
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
/// | | payload home | payload with the loop |
/// |---|---|---|
/// | registered | Idle | Running: its callback runs |
/// | removed | Removed: waits for its free call | Cancelled: its last call runs |
///
/// While the payload is out with the loop, the table cannot call or free it: that a callback is never
/// entered twice, never freed while it runs and freed at most once follows from ownership.
#[derive(Clone)]
pub(super) struct Lifecycle<P> {
    payload: Option<P>,
    /// The serial, and [`REMOVED`] once the entry is removed: an id then names it no longer, which costs
    /// neither space nor a comparison of its own.
    tag: NonZeroU64,
}

/// No serial has this bit: 2⁶³ additions take centuries.
const REMOVED: u64 = 1 << 63;

/// What a removal found (EV-702).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "only `Removal::Idle` says that the callback is not running"]
pub enum Removal {
    /// No call of the callback runs, and none will ever begin.
    Idle,
    /// One call is running; it is the last one.
    InFlight,
}

impl<P> Lifecycle<P> {
    /// A new entry: idle.
    pub(super) fn new(serial: NonZeroU64, payload: P) -> Lifecycle<P> {
        Lifecycle {
            payload: Some(payload),
            tag: serial,
        }
    }

    /// The entry's serial, whether it was removed or not.
    pub(super) fn serial(&self) -> u64 {
        self.tag.get() & !REMOVED
    }

    /// What names the entry, which lives in `slot` of the table with this number, while it is registered.
    pub(super) fn key(&self, table: u32, slot: u32) -> Key {
        let serial = self.tag;
        Key {
            serial,
            table,
            slot,
        }
    }

    /// Whether the entry is registered under this serial.
    pub(super) fn is_named_by(&self, serial: NonZeroU64) -> bool {
        self.tag == serial
    }

    /// Whether an id still names the entry.
    pub(super) fn is_registered(&self) -> bool {
        self.tag.get() & REMOVED == 0
    }

    /// Whether the payload is with the loop: a call runs.
    pub(super) fn is_in_flight(&self) -> bool {
        self.payload.is_none()
    }

    /// Marks a registered entry as removed.
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

    /// Hands the payload out for a call, if the entry is registered and its payload is home.
    pub(super) fn begin(&mut self) -> Option<P> {
        if self.is_registered() {
            self.payload.take()
        } else {
            None
        }
    }

    /// Takes the payload back after a call.
    ///
    /// # Panics
    ///
    /// If the payload was not out: the loop finished a call that it never began (I8).
    pub(super) fn finish(&mut self, payload: P) {
        assert!(
            self.is_in_flight(),
            "I8: a call was finished that was not outstanding"
        );
        self.payload = Some(payload);
    }

    /// Hands the payload of a removed entry out for good.
    ///
    /// # Panics
    ///
    /// If a call still runs, or the entry was not removed (I5).
    pub(super) fn into_freed(self) -> P {
        let is_over = !self.is_registered() && !self.is_in_flight();
        assert!(is_over, "I5: freed before its last call was over");
        self.payload
            .expect("a payload that is not in flight is home")
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
