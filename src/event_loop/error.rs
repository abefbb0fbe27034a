//! Why a turn of the loop ended with an error.

use crate::id::CallbackId;
use std::io;

/// Why a turn of the loop ended with an error. The loop may be run again after each (EV-512).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The wait failed for a reason other than a signal. Nothing was called; trying again at once is
    /// likely to fail again.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] io::Error),
    /// Callbacks panicked. Each was removed and dropped, the other callbacks of the turn were called
    /// (EV-514).
    #[error("{} panicked: {}", .0[0].callback, .0[0].message)]
    CallbackPanicked(Vec<CallbackPanic>),
    /// The process was forked from the one that made the loop, and must not run it (EV-1105). Nothing was
    /// done.
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
}

/// A callback that panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackPanic {
    /// The callback.
    pub callback: CallbackId,
    /// The message of the panic.
    pub message: String,
}
