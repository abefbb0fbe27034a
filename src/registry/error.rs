//! Why a call of the registry failed.

use crate::table::{NotRegistered, Refused};
use std::error::Error;
use std::fmt;

/// A handle or timeout was not added. Source and callback come back as they were offered: the callback was
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
/// An error that owns a callback is as little `Sync` as the callback is. Where that is in the way, pass on the
/// [reason](AddError::into_reason) alone.
pub struct AddError<S, F, E = Refused> {
    /// The reason.
    pub reason: E,
    /// The callback. It is dropped before the source, as always.
    pub callback: F,
    /// The source of the handle; nothing for a timeout.
    pub source: S,
}

/// An entry was not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The id names nothing.
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// The callback runs on this very thread, below the caller: it would wait for itself. The entry is
    /// still registered; remove it without waiting.
    #[error("the callback would wait for itself")]
    WouldDeadlock,
}

impl<S, F, E> AddError<S, F, E> {
    /// Returns the source and the callback.
    pub fn into_parts(self) -> (S, F) {
        (self.source, self.callback)
    }

    /// Returns the reason, and drops the source and the callback.
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
