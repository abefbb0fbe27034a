//! Why a call of the registry failed.

use crate::core::{NotRegistered, Refused};
use std::io;

/// A handle or timeout was not added; what was offered comes back, and its callback is never called
/// (EV-207).
#[derive(thiserror::Error)]
#[error("cannot add: {kind}")]
pub struct AddError<T> {
    /// Why.
    #[source]
    pub kind: AddErrorKind,
    /// What was offered.
    pub offered: T,
}

/// Why a handle or timeout was not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddErrorKind {
    /// The table refused it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The poller refused the descriptor, for example because it is not open (EV-208).
    #[error("the descriptor cannot be polled: {0}")]
    Poller(#[source] io::Error),
}

/// Why a handle was not updated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The id names nothing.
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// The poller refused the new interest, for example because the descriptor was closed. The handle
    /// stays registered with the interest it had.
    #[error("the descriptor cannot be polled: {0}")]
    Poller(#[source] io::Error),
}

impl<T> std::fmt::Debug for AddError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
