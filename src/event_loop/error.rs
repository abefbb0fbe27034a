//! The errors of a turn of the loop.

use crate::id::CallbackId;
use std::fmt;
use std::io;

/// An error of a turn of the loop. The loop may be run again after each (EV-512).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The wait failed for a reason other than a signal. No callback was called. Another attempt at once is likely
    /// to fail again.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] io::Error),
    /// Callbacks panicked. Each of them was removed and dropped, and the other callbacks of the turn were called
    /// (EV-514). This error occurs only with [`PanicPolicy::Stop`](super::PanicPolicy::Stop), the default.
    #[error("{}", Panics(.0))]
    CallbackPanicked(Vec<CallbackPanic>),
    /// The process is a forked child of the one that created the loop, and must not run it (EV-1105). The loop is
    /// unchanged.
    #[error("the event loop belongs to the parent process")]
    ForkedChild,
}

/// A callback that panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackPanic {
    /// The callback.
    pub callback: CallbackId,
    /// The message of the panic.
    pub message: String,
}

impl fmt::Display for CallbackPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked: {}", self.callback, self.message)
    }
}

/// The panics of one turn, displayed as the first of them and the number of others.
struct Panics<'a>(&'a [CallbackPanic]);

impl fmt::Display for Panics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("a callback panicked"),
            [only] => only.fmt(f),
            [first, others @ ..] => write!(f, "{first} (and {} more panicked)", others.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_panicked_displays_the_first_and_counts_the_rest() {
        let panic = |message: &str| CallbackPanic {
            callback: CallbackId::Free,
            message: message.to_owned(),
        };
        let (first, second) = (panic("oh {0}"), panic("no"));
        for (panics, text) in [
            (vec![], "a callback panicked"),
            (
                vec![first.clone()],
                "the drop of removed callbacks panicked: oh {0}",
            ),
            (
                vec![first, second.clone(), second],
                "the drop of removed callbacks panicked: oh {0} (and 2 more panicked)",
            ),
        ] {
            assert_eq!(RunError::CallbackPanicked(panics).to_string(), text);
        }
    }
}
