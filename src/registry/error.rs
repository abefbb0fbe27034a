//! The errors of the registry.

use crate::table::{NotRegistered, Refused};
use std::error::Error;
use std::fmt;

/// An error: a handle or timeout was not added. It contains source and callback unchanged: the callback was
/// neither called nor dropped (EV-207).
///
/// ```
/// use eventry::{EventLoop, Events, Refused};
/// use std::os::unix::net::UnixStream;
///
/// let event_loop = EventLoop::new()?;
/// let registry = event_loop.registry();
/// drop(event_loop);
///
/// let (near, _far) = UnixStream::pair()?;
/// let mut calls = 0;
/// let refused = registry.add_handle(near, Events::READABLE, move |_| calls += 1).unwrap_err();
/// assert_eq!(refused.reason, Refused::Closed);
/// assert_eq!(refused.to_string(), "cannot add: the event loop is gone");
/// let (near, _callback) = refused.into_parts();
/// near.shutdown(std::net::Shutdown::Both)?; // It is still open.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The error owns the callback, so it is `Sync` only if the callback is. Where that is a problem, use the
/// [reason](AddError::into_reason) alone.
pub struct AddError<S, F, E = Refused> {
    /// The reason of the failure.
    pub reason: E,
    /// The callback. It is dropped before the source, as in every other case.
    pub callback: F,
    /// The source of the handle, or `()` for a timeout.
    pub source: S,
}

/// An error: an entry was not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The id is not the id of a registered entry.
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// The callback of the entry is running and calls this, so it would wait for itself. The entry is still
    /// registered; remove it without waiting.
    #[error("the callback would wait for itself")]
    WouldDeadlock,
}

impl<S, F, E> AddError<S, F, E> {
    /// Returns the source and the callback.
    pub fn into_parts(self) -> (S, F) {
        (self.source, self.callback)
    }

    /// Returns the reason, and drops source and callback.
    pub fn into_reason(self) -> E {
        self.reason
    }
}

impl<S, F, E: fmt::Display> fmt::Display for AddError<S, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot add: {}", self.reason)
    }
}

impl<S, F, E: fmt::Debug> fmt::Debug for AddError<S, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<S, F, E: Error + 'static> Error for AddError<S, F, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.reason)
    }
}
