//! What a session hands out.

use std::time::Duration;

use thiserror::Error;

use super::AuthRequest;
use crate::wire::{Call, DecodeError, FrameError, Header, Procedure, RemoteError};

/// A call's identity within its session. Serials do not serve: the client chooses them, and may repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) u64);

/// A call to carry out; exactly one [`Session::reply`](super::Session::reply) is due for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What to answer it with.
    pub ticket: Ticket,
    /// The client's number for it, for the log.
    pub serial: u32,
    /// What to do; [`Call::procedure`] is its line in the table.
    ///
    /// The flags of an open are 1 for read-only, be it asked for or forced, or 0.
    pub call: Call,
}

/// What there is to do or to log.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A call to carry out.
    Request(Request),
    /// Something to decide about who the client is.
    Authenticate(AuthRequest),
    /// A message was answered with an error. Worth a line in the log.
    Refused {
        /// The message's header.
        header: Header,
        /// Why.
        refusal: Refusal,
    },
    /// A message was dropped in silence. Worth a line in the log.
    Dropped {
        /// The message's header.
        header: Header,
        /// Why.
        reason: DropReason,
    },
    /// The client sends calls faster than they are answered. Said once per session (DM-806).
    Throttled {
        /// The calls in progress.
        in_progress: usize,
    },
    /// The client has broken the framing. The session is over, without an answer (DM-801).
    Violation(FrameError),
    /// The client was given up. The session is over.
    Expired(Expiry),
}

/// Why a client was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Expiry {
    /// It has not answered the pings (DM-906).
    #[error("connection closed due to keepalive timeout; nothing was heard for {idle:?}")]
    Dead {
        /// How long nothing had been heard of it.
        idle: Duration,
    },
    /// Nobody knows who it is, and the time to find out is over (DM-603).
    #[error("it has not authenticated in time")]
    Anonymous,
    /// It has ended the session and not read its answers, or its calls have not ended, in time (DM-809).
    #[error("the end of the session took too long")]
    Unfinished,
    /// It makes calls and does not read the answers (DM-812).
    #[error("{unsent} bytes wait for a client that does not read")]
    Unread {
        /// How many bytes would have been sent.
        unsent: usize,
    },
}

/// Why a message was dropped in silence (DM-804).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DropReason {
    /// It is not a call, and its program is not served.
    #[error("unknown program")]
    UnknownProgram,
    /// It is not a call.
    #[error("not a call")]
    NotACall,
    /// It is of the keepalive program, but neither ping nor pong.
    #[error("neither ping nor pong")]
    UnknownKeepalive,
}

/// Why a call was answered with an error before anybody carried it out. The text is what the client sees,
/// but for [`AuthenticationOutOfTurn`](Refusal::AuthenticationOutOfTurn), of which it sees no more than of
/// any other failure to authenticate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The program, or this version of it, is not served.
    #[error("Cannot find program {program} version {version}")]
    UnknownProgram {
        /// The program's number.
        program: u32,
        /// The version.
        version: u32,
    },
    /// A call's status must be 0.
    #[error("Unexpected message status {0}")]
    Status(u32),
    /// The program has no such procedure, or it is not served.
    #[error("unknown procedure: {0}")]
    UnknownProcedure(i32),
    /// The client has not said who it is (DM-805).
    #[error("authentication required")]
    AuthenticationRequired,
    /// The call belongs to another way to authenticate, or it is not its turn (DM-1001).
    #[error("{} is out of turn, or of another way to authenticate", .0.name)]
    AuthenticationOutOfTurn(&'static Procedure),
    /// The arguments do not decode.
    #[error("Unable to decode message payload")]
    Undecodable(#[source] DecodeError),
    /// The client is read-only (DM-1103).
    #[error("operation forbidden: read only access prevents {}", .0.api)]
    ReadOnly(&'static Procedure),
}

impl From<&Refusal> for RemoteError {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::ReadOnly(procedure) => RemoteError::read_only(procedure.api),
            Refusal::AuthenticationOutOfTurn(_) => RemoteError::authentication_failed(),
            other => RemoteError::rpc(&other.to_string()),
        }
    }
}
