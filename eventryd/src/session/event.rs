//! The output of a session: calls, authentication requests, and notices for the log.

use std::time::Duration;

use thiserror::Error;

use crate::auth::{Nonce, Sasl, SaslError, SaslExchange, SaslProgress};
use crate::wire::{Call, DecodeError, FrameError, Header, Procedure, RemoteError, WireString};

/// Identity of a call within its session. The serial does not identify a call: the client chooses it, and may
/// repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) u64);

/// A call to execute; exactly one [`Session::reply`](super::Session::reply) is due for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The identity of the call.
    pub ticket: Ticket,
    /// The serial that the client chose, for the log.
    pub serial: u32,
    /// The call; [`Call::procedure`] is its row in the table.
    ///
    /// The flags of an open are 1 for read-only, requested or forced, or 0.
    pub call: Call,
}

/// A step of authentication to decide; exactly one [`Session::authenticate`](super::Session::authenticate) is due
/// for it, and no other call is handed out before.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// The identity of the call.
    pub ticket: Ticket,
    /// The serial that the client chose, for the log.
    pub serial: u32,
    /// The step.
    pub step: AuthStep,
}

/// A step of a client's authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStep {
    /// The client starts a SASL mechanism.
    SaslStart {
        /// The name of the mechanism, which need not be an offered one.
        mechanism: WireString,
        /// The initial data; no data is not the same as empty data.
        data: Option<Vec<u8>>,
    },
    /// The client answers a SASL challenge.
    SaslStep {
        /// The answer; no data is not the same as empty data.
        data: Option<Vec<u8>>,
    },
    /// The client requests authentication by polkit.
    Polkit,
}

/// The decision about a step of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthResult {
    /// SASL continues with this challenge.
    Continue(Option<Vec<u8>>),
    /// The client is authenticated; SASL ends with this data.
    Complete(Option<Vec<u8>>),
    /// The step has failed.
    Failed(RemoteError),
}

impl AuthStep {
    /// Applies a step of SASL to the client's `exchange`, with a new `nonce`; `None` for polkit.
    pub fn by_sasl(
        &self,
        exchange: &mut SaslExchange,
        sasl: &Sasl,
        nonce: &Nonce,
    ) -> Option<Result<SaslProgress, SaslError>> {
        match self {
            AuthStep::SaslStart { mechanism, data } => {
                Some(exchange.start(sasl, mechanism.as_bytes(), data.as_deref(), nonce))
            }
            AuthStep::SaslStep { data } => Some(exchange.step(sasl, data.as_deref(), nonce)),
            AuthStep::Polkit => None,
        }
    }
}

impl From<Result<SaslProgress, SaslError>> for AuthResult {
    /// Hides the cause of a failure from the client.
    fn from(progress: Result<SaslProgress, SaslError>) -> AuthResult {
        match progress {
            Ok(SaslProgress::Continue(data)) => AuthResult::Continue(data),
            Ok(SaslProgress::Complete { data, .. }) => AuthResult::Complete(Some(data)),
            Err(_) => AuthResult::Failed(RemoteError::authentication_failed()),
        }
    }
}

/// The output of [`Session::poll`](super::Session::poll): a request, or a notice for the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A call to execute.
    Request(Request),
    /// A step of authentication to decide.
    Authenticate(AuthRequest),
    /// A message was answered with an error.
    Refused {
        /// The header of the message.
        header: Header,
        /// The error.
        refusal: Refusal,
    },
    /// A message was dropped without an answer.
    Dropped {
        /// The header of the message.
        header: Header,
        /// The reason.
        reason: DropReason,
    },
    /// The client sends calls faster than they are answered. Reported once per session (DM-806).
    Throttled {
        /// The number of calls in progress.
        in_progress: usize,
    },
    /// The client broke the framing. The session is over, without an answer (DM-801).
    Violation(FrameError),
    /// The client exceeded a limit. The session is over.
    Expired(Expiry),
}

/// The limit that a client exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Expiry {
    /// The client has not answered the pings (DM-906).
    #[error("connection closed due to keepalive timeout; no data was received for {idle:?}")]
    Dead {
        /// The time since its last byte.
        idle: Duration,
    },
    /// The client has not authenticated in time (DM-603).
    #[error("not authenticated in time (eventry_auth_timeout)")]
    Anonymous,
    /// The client has not completed the handshake of the transport in time (DM-603).
    #[error("TLS handshake not completed within {} s (eventry_handshake_timeout)", limit.as_secs())]
    Handshake {
        /// [`ClientLimits::handshake_timeout`](super::ClientLimits::handshake_timeout).
        limit: Duration,
    },
    /// The session has ended, and its last calls have not ended or its last answers were not read in time (DM-809).
    #[error("the end of the session took too long")]
    Unfinished,
    /// The client makes calls and does not read the answers (DM-812).
    #[error("{unsent} bytes of answers were not read (eventry_max_tx_bytes)")]
    Unread {
        /// The number of bytes to send.
        unsent: usize,
    },
}

/// The reason to drop a message without an answer (DM-804).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DropReason {
    /// The message is not a call, and its program is not served.
    #[error("unknown program")]
    UnknownProgram,
    /// The message is not a call.
    #[error("not a call")]
    NotACall,
    /// The message is of the keepalive program, but neither ping nor pong.
    #[error("neither ping nor pong")]
    UnknownKeepalive,
}

/// The reason to answer a message with an error. The client gets the text, except for
/// [`AuthenticationOutOfTurn`](Refusal::AuthenticationOutOfTurn), for which it gets the error of any failed
/// authentication.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The program, or this version of it, is not served.
    #[error("Cannot find program {program} version {version}")]
    UnknownProgram {
        /// The number of the program.
        program: u32,
        /// The version.
        version: u32,
    },
    /// The status of a call must be 0.
    #[error("Unexpected message status {0}")]
    Status(u32),
    /// The program has no such procedure, or it is not served.
    #[error("unknown procedure: {0}")]
    UnknownProcedure(i32),
    /// The client is not authenticated (DM-805).
    #[error("authentication required")]
    AuthenticationRequired,
    /// The call belongs to another scheme of authentication, or is out of turn (DM-1001).
    #[error("{} is out of turn, or of another authentication scheme", .0.name)]
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
