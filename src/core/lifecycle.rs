//! The life of one entry, and what a removal answers.

use crate::planted::{Defect, planted};

/// Where an entry is in its life, and its payload while that is at home.
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
/// While the payload is out with the loop, the table cannot call or free it: that a callback is never
/// entered twice, never freed while it runs and freed at most once follows from ownership.
#[derive(Clone, Debug)]
pub(super) enum Lifecycle<P> {
    /// Registered; the payload is home.
    Idle(P),
    /// Registered; the payload is with the loop, its callback runs.
    Running,
    /// Removed while running; the payload is still with the loop.
    Cancelled,
    /// Removed; the payload waits for its free call.
    Removed(P),
}

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
    /// Whether an id still names the entry.
    pub(super) fn is_registered(&self) -> bool {
        matches!(self, Lifecycle::Idle(_) | Lifecycle::Running)
    }

    /// Whether the payload is with the loop: a call runs.
    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self, Lifecycle::Running | Lifecycle::Cancelled)
    }

    /// Marks a registered entry as removed.
    pub(super) fn remove(&mut self) -> Option<Removal> {
        let (next, removal) = match std::mem::replace(self, Lifecycle::Cancelled) {
            Lifecycle::Idle(payload) => (Lifecycle::Removed(payload), Some(Removal::Idle)),
            Lifecycle::Running => (Lifecycle::Cancelled, Some(Removal::InFlight)),
            gone @ (Lifecycle::Cancelled | Lifecycle::Removed(_)) => (gone, None),
        };
        *self = next;
        removal
    }

    /// Hands the payload out for a call, if the entry is registered and its payload is home.
    pub(super) fn begin(&mut self) -> Option<P> {
        if !matches!(self, Lifecycle::Idle(_)) {
            return None;
        }
        match std::mem::replace(self, Lifecycle::Running) {
            Lifecycle::Idle(payload) => Some(payload),
            _ => None,
        }
    }

    /// Takes the payload back after a call.
    ///
    /// # Panics
    ///
    /// If the payload was not out: the loop finished a call that it never began (I8).
    pub(super) fn finish(&mut self, payload: P) {
        *self = match self {
            Lifecycle::Running => Lifecycle::Idle(payload),
            Lifecycle::Cancelled if planted(Defect::LostCancel) => Lifecycle::Idle(payload),
            Lifecycle::Cancelled => Lifecycle::Removed(payload),
            Lifecycle::Idle(_) | Lifecycle::Removed(_) => {
                unreachable!("I8: a call was finished that was not outstanding")
            }
        };
    }
}
