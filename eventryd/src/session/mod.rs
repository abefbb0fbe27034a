//! One client as a pure value: bytes and `now` in, bytes and calls out.
//!
//! A [`Session`] holds what the protocol knows of one client: what of its input is not yet a whole
//! message, which calls are in progress, what is not yet sent, and what it may do. It performs no I/O,
//! reads no clock and takes no lock. Its invariants:
//!
//! - nothing is decoded while the client does not read its answers, or while it has as many calls in
//!   progress as it may, so what it can make a daemon hold is bounded;
//! - a client that is throttled is still heard: its pings are answered (DM-905);
//! - once the client has ended the session, or broken the framing, nothing it sent after that has any
//!   effect;
//! - a client that is silent for too long is given up, but none that could not be heard (DM-903, DM-908).
//!
//! It deliberately does not know what a call does, or which connection is open.

mod answer;
mod auth;
mod check;
mod config;
mod deadline;
#[cfg(test)]
mod deadline_tests;
mod event;
#[cfg(test)]
mod flow_tests;
mod keepalive;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use auth::Authentication;
use check::Checks;
use deadline::Clock;

pub use auth::{AuthRequest, AuthResult, AuthStep};
pub use config::{Access, Auth, Limits, SessionConfig};
pub use event::{DropReason, Event, Expiry, Refusal, Request, Ticket};
pub use keepalive::Keepalive;

use crate::wire::{Buffer, Frame, FrameSplitter, Header, RemoteError, Reply};
use eventry::Time;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Calls are taken.
    Serving,
    /// The client has closed the session: calls in progress end and answers drain, nothing is taken.
    Closing,
    /// The client has failed to prove who it is as often as it may: it gets its answer, nothing is taken.
    Denied,
    /// The client has broken the protocol, or was given up. There is nothing left to do but close.
    Broken,
}

/// One client's protocol state.
///
/// The owner moves bytes and calls, in this order, and over again whenever one of them has changed
/// something: [`receive`](Self::receive) what arrived, [`poll`](Self::poll) until it returns `None`,
/// carrying out each [`Request`] and handing its result to [`reply`](Self::reply), then send
/// [`output`](Self::output) and tell [`advance_output`](Self::advance_output) how much went. It closes when
/// [`should_close`](Self::should_close) says so, and reads only while [`wants_read`](Self::wants_read) does.
///
/// ```
/// use eventry::Time;
/// use eventryd::session::{Event, Session, SessionConfig};
/// use eventryd::wire::{Call, Header, Reply, TypeRet, write_message};
///
/// let mut session = Session::new(SessionConfig::default());
/// let call = Call::ConnectGetType(());
/// let mut bytes = Vec::new();
/// write_message(&mut bytes, Header::call(call.procedure(), 1), |to| call.encode(to))?;
///
/// session.receive(Time::ZERO, &bytes);
/// while let Some(event) = session.poll() {
///     if let Event::Request(request) = event {
///         let reply = Reply::ConnectGetType(TypeRet { name: "TEST".into() });
///         session.reply(request.ticket, Ok(reply));
///     }
/// }
/// assert_eq!(session.output().len(), 28 + 8);
/// session.advance_output(36);
/// assert!(!session.wants_write() && !session.should_close());
/// # Ok::<(), eventryd::wire::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    auth: Authentication,
    /// Whether the handshake of its transport is not over.
    awaits_handshake: bool,
    checks: Checks,
    state: SessionState,
    splitter: FrameSplitter,
    /// The one message that was read past while the client was throttled.
    parked: Option<Box<Parked>>,
    in_progress: Vec<Pending>,
    next_ticket: u64,
    output: Buffer,
    /// How many bytes were sent so far.
    sent: u64,
    /// What stopped the last poll.
    halt: Halt,
    /// The messages that may still be taken in this turn.
    budget: usize,
    input_ended: bool,
    throttle_reported: bool,
    clock: Clock,
    /// Why it was given up, until that is handed out.
    expired: Option<Expiry>,
}

/// A message that was read past. Boxed where it is kept: few clients ever have one.
#[derive(Debug)]
struct Parked {
    header: Header,
    payload: Vec<u8>,
}

/// A call handed out and not answered.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    header: Header,
    /// For an open: whether the connection is read-only once it has succeeded.
    opens: Option<Access>,
    /// Whether it decides who the client is.
    authenticates: bool,
}

/// Why there was nothing to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// No complete message is left.
    NoInput,
    /// A complete message waits for a call to end or for output to go.
    Waiting,
    /// This turn's messages are used up.
    Budget,
}

impl Session {
    /// The session of a client that was just accepted.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        let SessionConfig {
            access,
            auth,
            peer_is_root,
            awaits_handshake,
            accepted,
            limits,
            keepalive,
        } = config;
        let auth = Authentication::new(auth, peer_is_root, limits.max_auth_failures);
        let authenticated = auth.is_done();
        let limit = if authenticated {
            limits.max_frame
        } else {
            limits.max_frame_before_auth
        };
        Self {
            clock: Clock::begin(accepted, limits.auth_timeout, keepalive),
            limits,
            auth,
            awaits_handshake,
            checks: Checks {
                authenticated,
                access,
            },
            state: SessionState::Serving,
            splitter: FrameSplitter::new(limit),
            parked: None,
            in_progress: Vec::new(),
            next_ticket: 0,
            output: Buffer::default(),
            sent: 0,
            halt: Halt::NoInput,
            budget: usize::MAX,
            input_ended: false,
            throttle_reported: false,
            expired: None,
        }
    }

    /// Takes bytes as they arrived at `now`. They count as a sign of life, whatever they are (DM-905).
    ///
    /// Bytes of a session that no longer serves are dropped.
    pub fn receive(&mut self, now: Time, bytes: &[u8]) {
        self.clock.heard(now);
        if self.state == SessionState::Serving && !bytes.is_empty() {
            self.splitter.push(bytes);
            self.halt = Halt::Waiting;
        }
    }

    /// Says that the client sends no more. What it sent is still answered, for as long as
    /// [`Limits::max_linger`] after the time that the session was last told (DM-809).
    pub fn end_of_input(&mut self) {
        self.input_ended = true;
        self.clock.begin_end(self.limits.max_linger);
    }

    /// Takes nothing more from the client, because the daemon stops. What it sent is still answered; how long
    /// that may take is the daemon's concern.
    pub fn finish(&mut self) {
        self.input_ended = true;
        self.clock.end_keepalive();
    }

    /// Allows the next [`poll`](Self::poll)s no more messages than there may be calls in progress, so that a
    /// client that sends without end leaves others their turn (DM-808).
    pub fn begin_turn(&mut self) {
        self.budget = self.limits.max_client_requests.get();
    }

    /// Whether [`poll`](Self::poll) has stopped because this turn's messages are used up, and there may be more.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.halt == Halt::Budget
    }

    /// The next thing to do or to log; `None` if there is nothing before more bytes arrive, a call is
    /// answered, output is sent or, if it [has more](Self::has_more), another turn begins.
    ///
    /// Pings, and the calls that concern the protocol itself, are answered on the way.
    pub fn poll(&mut self) -> Option<Event> {
        if let Some(expiry) = self.expired.take() {
            return Some(Event::Expired(expiry));
        }
        while self.state == SessionState::Serving {
            if self.output.len() >= self.limits.max_output.get() {
                self.halt = Halt::Waiting;
                return None;
            }
            if self.budget == 0 {
                self.halt = Halt::Budget;
                return None;
            }
            let parked = if self.is_busy() {
                None
            } else {
                self.parked.take()
            };
            if let Some(parked) = parked {
                self.budget -= 1;
                let Parked { header, payload } = *parked;
                let verdict = self.checks.judge(&Frame {
                    header,
                    payload: &payload,
                });
                if let Some(event) = self.carry_out(header, verdict) {
                    return Some(event);
                }
                continue;
            }
            let frame = match self.splitter.head() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.halt = if self.parked.is_some() {
                        Halt::Waiting
                    } else {
                        Halt::NoInput
                    };
                    return None;
                }
                Err(violation) => {
                    self.abandon(SessionState::Broken);
                    return Some(Event::Violation(violation));
                }
            };
            let header = frame.header;
            if self.is_busy() && !check::is_keepalive(&header) {
                if self.parked.is_some() {
                    self.halt = Halt::Waiting;
                    return None;
                }
                self.parked = Some(Box::new(Parked {
                    header,
                    payload: frame.payload.to_vec(),
                }));
                self.splitter.consume();
                if self.is_throttled() && !mem::replace(&mut self.throttle_reported, true) {
                    return Some(Event::Throttled {
                        in_progress: self.in_progress.len(),
                    });
                }
                continue;
            }
            let verdict = self.checks.judge(&frame);
            self.splitter.consume();
            self.budget -= 1;
            if let Some(event) = self.carry_out(header, verdict) {
                return Some(event);
            }
        }
        None
    }

    /// Answers the call of `ticket`. Call [`poll`](Self::poll) afterwards: another call may now be due.
    ///
    /// A reply that is longer than the protocol allows is answered with an error in its place. An answer to
    /// a broken session is dropped (DM-810), and so is a second answer to the same call. A client that has not
    /// read the answers before it is given up if there are too many (DM-812).
    ///
    /// # Panics
    /// If the reply is of another procedure than the call: the client would misread it.
    pub fn reply(&mut self, ticket: Ticket, result: Result<Reply, RemoteError>) {
        let Some(index) = self
            .in_progress
            .iter()
            .position(|pending| pending.ticket == ticket)
        else {
            return;
        };
        let pending = self.in_progress.swap_remove(index);
        let unread = self.output.len();
        match result {
            Ok(reply) => {
                let procedure = reply.procedure();
                assert_eq!(
                    procedure.number, pending.header.procedure,
                    "reply of {}",
                    procedure.name
                );
                if let Some(access) = pending.opens {
                    self.checks.access = access;
                }
                self.send_reply(pending.header, &reply);
            }
            Err(error) => self.send_error(pending.header, &error),
        }
        let unsent = self.output.len();
        if unread > 0 && unsent > self.limits.max_tx_bytes.get() {
            self.expire(Expiry::Unread { unsent });
        }
    }

    /// Says that the client has proved who it is. Calls are open to it from now on, and the limit for its
    /// messages is the ordinary one.
    pub fn mark_authenticated(&mut self) {
        self.auth.complete();
        self.checks.authenticated = true;
        self.splitter.set_limit(self.limits.max_frame);
    }

    /// The bytes to send.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Says that the first `count` bytes of [`output`](Self::output) were sent. Call
    /// [`poll`](Self::poll) afterwards: input may have waited for the room.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance_output(&mut self, count: usize) {
        self.output.consume(count);
        self.sent += count as u64;
    }

    /// Says that nothing of [`output`](Self::output) can be sent now: the client has to read first. If some of
    /// it can be sent later, the client is alive, though it says nothing.
    pub fn wait_for_reader(&mut self) {
        if self.wants_write() {
            self.clock.note_unread(self.sent);
        }
    }

    /// Whether to read from the client. If not, it has to read first, or wait for a call of its own.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        let stalled = match self.halt {
            Halt::NoInput => false,
            Halt::Waiting => !self.is_parked_only(),
            Halt::Budget => true,
        };
        self.state == SessionState::Serving
            && !self.input_ended
            && !stalled
            && self.output.len() < self.limits.max_output.get()
    }

    /// Whether there is anything to send.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.output.len() > 0
    }

    /// Whether to close the connection now. Valid once [`poll`](Self::poll) has returned `None`.
    ///
    /// So it is after a violation at once (DM-801), when the client was given up (DM-906), and after a close or the end of the input when all
    /// calls are answered and all answers sent (DM-809, DM-811).
    #[must_use]
    pub fn should_close(&self) -> bool {
        let drained = self.in_progress.is_empty() && !self.wants_write();
        match self.state {
            SessionState::Serving => self.input_ended && drained && self.halt == Halt::NoInput,
            SessionState::Closing | SessionState::Denied => drained,
            SessionState::Broken => true,
        }
    }

    /// Where the session stands.
    #[must_use]
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// Whether the client need not, or need no longer, prove who it is.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        self.checks.authenticated
    }

    /// Says that the handshake of the transport is over, and nothing of it speaks against the client.
    pub const fn end_handshake(&mut self) {
        self.awaits_handshake = false;
    }

    /// Whether nobody knows yet who the client is: it has not authenticated, or the handshake of its
    /// transport is not over. It is given up after [`Limits::auth_timeout`] (DM-603).
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.awaits_handshake || !self.is_authenticated()
    }

    /// What the client may do: as configured, and read-only from the moment it opened so (DM-1101).
    #[must_use]
    pub const fn access(&self) -> Access {
        self.checks.access
    }

    /// How many calls are handed out and not answered.
    #[must_use]
    pub fn calls_in_progress(&self) -> usize {
        self.in_progress.len()
    }

    /// When bytes last arrived; [`Time::ZERO`] if none have.
    #[must_use]
    pub const fn last_heard(&self) -> Time {
        self.clock.last_heard()
    }

    /// Whether the next call has to wait for one in progress: there are as many as may be (DM-806), or
    /// one of them opens the connection or decides who the client is, and until it ends nobody knows what
    /// the next may do.
    fn is_busy(&self) -> bool {
        self.is_throttled()
            || self
                .in_progress
                .iter()
                .any(|pending| pending.opens.is_some() || pending.authenticates)
    }

    fn is_throttled(&self) -> bool {
        self.in_progress.len() >= self.limits.max_client_requests.get()
    }

    /// Whether nothing is read because calls have to end first, so that nobody knows what the client says.
    fn waits_for_calls(&self) -> bool {
        let has_room = self.output.len() < self.limits.max_output.get();
        has_room && !self.in_progress.is_empty() && !self.wants_read() && !self.has_more()
    }

    /// Gives the client up: what was not sent is lost (DM-906).
    fn expire(&mut self, expiry: Expiry) {
        self.abandon(SessionState::Broken);
        self.expired = Some(expiry);
    }

    /// Whether only the parked message waits, so that a ping behind it can still be read (DM-905).
    fn is_parked_only(&self) -> bool {
        self.parked.is_some() && matches!(self.splitter.head(), Ok(None))
    }
}
