//! Errors of the process's event implementation.

use crate::event_loop::RunError;
use crate::table::{NotRegistered, Refused};
use std::io;

/// The error of a second registration; the first one stays (EV-102).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event implementation is registered already")]
pub struct AlreadyRegistered;

/// The errors of a registration of the default implementation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another implementation is registered.
    #[error(transparent)]
    AlreadyRegistered(#[from] AlreadyRegistered),
    /// The process was forked from the one that has the loop (EV-1105).
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
    /// The loop cannot be created.
    #[error("cannot create the event loop: {0}")]
    Loop(#[from] io::Error),
}

/// The errors of an addition or a removal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImplError {
    /// No implementation is registered (EV-101).
    #[error("no event implementation is registered")]
    NoImplementation,
    /// No entry of this kind has the id (EV-205, EV-206).
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// The loop refused the entry (EV-207).
    #[error(transparent)]
    Refused(Refused),
    /// All integer ids are in use (EV-204).
    #[error("all integer ids are in use")]
    IdsExhausted,
    /// The process was forked from the one that has the loop (EV-1105).
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
    /// An error of another implementation.
    #[error(transparent)]
    Other(#[from] io::Error),
}

/// The errors of a turn of the default implementation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDefaultError {
    /// The default implementation is not registered.
    #[error("the default event implementation is not registered")]
    NotRegistered,
    /// Another thread runs the loop, or the caller is inside one of its callbacks (EV-511, EV-1101).
    #[error("the event loop is already running")]
    AlreadyRunning,
    /// The process was forked from the one that has the loop (EV-1105).
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
    /// The turn failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Refused> for ImplError {
    fn from(reason: Refused) -> ImplError {
        match reason {
            Refused::IdsExhausted => ImplError::IdsExhausted,
            reason => ImplError::Refused(reason),
        }
    }
}
