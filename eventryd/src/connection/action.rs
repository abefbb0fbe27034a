//! The output of a connection.

use super::progress::ProgressChange;
use super::transport::TransportError;
use crate::session::{AuthRequest, DropReason, Expiry, Refusal, Request};
use crate::wire::{FrameError, Header};
use eventry::{Events, MonotonicTime};

/// The next action of the owner of a connection.
#[derive(Debug)]
#[must_use]
pub enum Action {
    /// A call to execute. [`complete`](super::Connection::complete) answers it, now or later.
    Dispatch(Request),
    /// A step of authentication to decide. [`authenticated`](super::Connection::authenticated) answers it, now
    /// or later.
    Authenticate(AuthRequest),
    /// A change to report to admission control.
    Progress(ProgressChange),
    /// A notice to log.
    Log(Notice),
    /// The session has ended for this reason, and the sending side of the connection is closed. The owner releases what
    /// the session needed. [`Close`](Action::Close) follows, in this turn or a later one: until then, input is dropped.
    Linger(CloseReason),
    /// The reason to close the connection. This is the last action.
    Close(CloseReason),
}

/// A line for the log.
#[derive(Debug)]
pub enum Notice {
    /// The certificate of the client has a defect that was tolerated.
    Certificate(String),
    /// A message was answered with an error.
    Refused {
        /// The header of the message.
        header: Header,
        /// The error.
        refusal: Refusal,
    },
    /// A message was dropped.
    Dropped {
        /// The header of the message.
        header: Header,
        /// The reason.
        reason: DropReason,
    },
    /// The client sends calls faster than they are answered. Reported once per connection (DM-806).
    Throttled {
        /// The number of calls in progress.
        in_progress: usize,
    },
    /// The client broke the framing (DM-801). The connection closes.
    Violation(FrameError),
    /// The client exceeded a limit. The connection closes.
    Expired(Expiry),
}

/// The reason to close a connection.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The client or the daemon has ended the session.
    #[error("the session is over")]
    Over,
    /// The client has failed to authenticate too often.
    #[error("authentication failed too often")]
    Denied,
    /// The peer has gone and reads no answers.
    #[error("the peer is gone")]
    PeerGone,
    /// The peer has not closed its side in time after the session had ended, or has sent too much.
    #[error("the peer did not close the connection in time")]
    LingerOver,
    /// The transport has failed.
    #[error(transparent)]
    Failed(#[from] TransportError),
}

/// The events and the time to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The events of the transport.
    pub interest: Events,
    /// The time at which [`on_deadline`](super::Connection::on_deadline) is to be called at the latest, if any.
    pub deadline: Option<MonotonicTime>,
}
