//! Why a call through the table failed.

use super::NotAdded;
use crate::event_loop::RunError;
use crate::table::{NotRegistered, Refused};
use std::io;

/// The table has an implementation already; it stays (EV-102).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event implementation is registered already")]
pub struct AlreadyRegistered;

/// Why the default implementation was not registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another implementation came first.
    #[error(transparent)]
    AlreadyRegistered(#[from] AlreadyRegistered),
    /// The process was forked from the one that has the loop (EV-1105).
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
    /// The loop cannot be made.
    #[error("cannot make the event loop: {0}")]
    Loop(#[from] io::Error),
}

/// Why an add or remove failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImplError {
    /// No implementation is registered (EV-101).
    #[error("no event implementation is registered")]
    NoImplementation,
    /// The number names no entry of that kind (EV-205, EV-206).
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// The entry was not taken (EV-207).
    #[error(transparent)]
    Refused(#[from] Refused),
    /// All numbers are in use (EV-204).
    #[error("all integer ids are in use")]
    IdsExhausted,
    /// The process was forked from the one that has the loop (EV-1105).
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
    /// An implementation's own reason.
    #[error(transparent)]
    Other(#[from] io::Error),
}

/// Why a turn of the default implementation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDefaultError {
    /// The default implementation is not registered.
    #[error("the default event implementation is not registered")]
    NotRegistered,
    /// Another thread runs the loop, or the caller is inside one of its callbacks (EV-511, EV-1101).
    #[error("the event loop runs already")]
    AlreadyRunning,
    /// The process was forked from the one that has the loop (EV-1105).
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
    /// The turn itself failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<NotAdded> for ImplError {
    fn from(reason: NotAdded) -> ImplError {
        match reason {
            NotAdded::IdsExhausted => ImplError::IdsExhausted,
            NotAdded::Refused(reason) => ImplError::Refused(reason),
        }
    }
}
