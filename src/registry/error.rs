//! Why a call of the registry failed.

use crate::core::Refused;

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

impl<T> std::fmt::Debug for AddError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
