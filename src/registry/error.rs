//! Why a call of the registry failed.

use crate::core::{NotRegistered, Refused};

/// A handle or timeout was not added; what was offered comes back, and its callback is never called
/// (EV-207).
#[derive(thiserror::Error)]
#[error("cannot add: {reason}")]
pub struct AddError<T> {
    /// Why.
    #[source]
    pub reason: Refused,
    /// What was offered.
    pub offered: T,
}

/// An entry was not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// The id names nothing.
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// The callback runs on this very thread, below the caller: it would wait for itself. The entry is
    /// still registered; remove it without waiting.
    #[error("the callback would wait for itself")]
    WouldDeadlock,
}

impl<T> std::fmt::Debug for AddError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
