//! Protocol state of one client as a pure value: bytes and the time in, bytes and calls out.
//!
//! A [`Session`] holds the input that is not yet a whole message, the calls in progress, the output that is not yet
//! sent, and the access of the client. It performs no I/O, reads no clock and takes no lock. Its invariants:
//!
//! - no message is decoded while the client does not read its answers, or has as many calls in progress as allowed;
//!   so the memory for one client is bounded;
//! - the pings of a throttled client are answered (DM-905);
//! - after the client has ended the session or broken the framing, its input has no effect;
//! - a client that is silent for too long expires, unless its input could not be read (DM-903, DM-908).
//!
//! The session depends neither on the effects of calls nor on the hypervisor.

mod answer;
mod auth;
mod check;
mod config;
mod deadline;
#[cfg(test)]
mod deadline_tests;
mod event;
mod keepalive;
#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use auth::Authentication;
use check::Checks;
use deadline::Clock;

pub use config::{Access, Auth, ClientLimits, SessionConfig};
pub use event::{
    AuthRequest, AuthResult, AuthStep, DropReason, Event, Expiry, Refusal, Request, Ticket,
};
pub use keepalive::Keepalive;

use crate::wire::{Buffer, Frame, FrameSplitter, Header, RemoteError, Reply};
use eventry::MonotonicTime;

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Calls are accepted.
    Serving,
    /// The client has closed the session: calls in progress end and answers are sent.
    Closing,
    /// The client has failed to authenticate too often: its answer is sent.
    Denied,
    /// The client has broken the protocol, or has expired. The connection is to be closed.
    Broken,
}

/// Protocol state of one client.
///
/// The owner repeats these steps in this order: it passes input to [`receive`](Self::receive); calls
/// [`poll`](Self::poll) until it returns `None`, executes each [`Request`] and passes the result to
/// [`reply`](Self::reply); sends [`output`](Self::output), and calls [`advance_output`](Self::advance_output). It reads
/// only while [`wants_read`](Self::wants_read) is true, and closes the connection when
/// [`should_close`](Self::should_close) is true.
///
/// ```
/// use eventry::MonotonicTime;
/// use eventryd::session::{Event, Session, SessionConfig};
/// use eventryd::wire::{Call, Header, Reply, TypeRet, write_message};
///
/// let mut session = Session::new(SessionConfig::default());
/// let call = Call::ConnectGetType(());
/// let mut bytes = Vec::new();
/// write_message(&mut bytes, Header::call(call.procedure(), 1), |to| call.encode(to))?;
///
/// session.receive(MonotonicTime::ZERO, &bytes);
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
    limits: Arc<ClientLimits>,
    auth: Authentication,
    /// The handshake of the transport is not completed.
    awaits_handshake: bool,
    checks: Checks,
    state: SessionState,
    splitter: FrameSplitter,
    /// The message that was skipped while the client is throttled.
    parked: Option<Box<Parked>>,
    in_progress: Vec<Pending>,
    next_ticket: u64,
    output: Buffer,
    /// The number of bytes that were sent.
    sent: u64,
    /// The reason why the last poll returned `None`.
    halt: Halt,
    /// The number of messages left in this turn.
    budget: usize,
    input_ended: bool,
    throttle_reported: bool,
    clock: Clock,
    /// The limit that was exceeded, until it is handed out.
    expired: Option<Expiry>,
}

/// A message that was skipped. Boxed in the session: few clients ever have one.
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
    /// For an open: the access after it has succeeded.
    opens: Option<Access>,
    /// The call is a step of authentication.
    authenticates: bool,
}

/// The reason why a poll returned `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// The input has no complete message.
    NoInput,
    /// A complete message waits for a call to end or for output to be sent.
    Waiting,
    /// The messages of this turn are used up.
    Budget,
}

impl Session {
    /// Creates the session of a client that was just accepted.
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

    /// Takes bytes that arrived at `now`. Any byte shows that the client is alive (DM-905).
    ///
    /// A session that does not serve drops them.
    pub fn receive(&mut self, now: MonotonicTime, bytes: &[u8]) {
        self.clock.heard(now);
        if self.state == SessionState::Serving && !bytes.is_empty() {
            self.splitter.push(bytes);
            self.halt = Halt::Waiting;
        }
    }

    /// Records that the client sends no more. Its input is still answered, until [`ClientLimits::max_linger`] after
    /// the latest time that was passed in (DM-809).
    pub fn end_of_input(&mut self) {
        self.input_ended = true;
        self.clock.begin_end(self.limits.max_linger);
    }

    /// Takes no more input, because the daemon stops. Earlier input is still answered; the daemon limits the time
    /// for that.
    pub fn finish(&mut self) {
        self.input_ended = true;
        self.clock.end_keepalive();
    }

    /// Begins a turn, in which [`poll`](Self::poll) takes no more messages than there may be calls in progress, so that
    /// a client that sends continuously does not delay other clients (DM-808).
    pub fn begin_turn(&mut self) {
        self.budget = self.limits.max_client_requests.get();
    }

    /// Tests if [`poll`](Self::poll) has stopped because the messages of this turn are used up. A session that does
    /// not serve takes no more messages.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.state == SessionState::Serving && self.halt == Halt::Budget
    }

    /// Returns the next event; `None` until more bytes arrive, a call is answered, output is sent or, if the session
    /// [has more](Self::has_more) messages, another turn begins.
    ///
    /// Pings, and calls that concern the protocol itself, are answered and not returned.
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
                let checked = self.checks.check(&Frame {
                    header,
                    payload: &payload,
                });
                if let Some(event) = self.react(header, checked) {
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
            let checked = self.checks.check(&frame);
            self.splitter.consume();
            self.budget -= 1;
            if let Some(event) = self.react(header, checked) {
                return Some(event);
            }
        }
        None
    }

    /// Answers the call of `ticket`. [`poll`](Self::poll) is due afterwards: the next call may have waited for it.
    ///
    /// A reply that is longer than the protocol allows is replaced by an error. An answer for a broken session is
    /// dropped (DM-810), and so is a second answer to the same call. The session expires if too many answers are not
    /// read (DM-812).
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

    /// Records that the client is authenticated. It may make calls, and [`ClientLimits::max_frame`] applies.
    pub fn mark_authenticated(&mut self) {
        self.auth.complete();
        self.checks.authenticated = true;
        self.splitter.set_limit(self.limits.max_frame);
    }

    /// Returns the bytes to send.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Records that the first `count` bytes of [`output`](Self::output) were sent. [`poll`](Self::poll) is due
    /// afterwards: input may have waited for space in the output.
    ///
    /// # Panics
    /// If the output is shorter.
    pub fn advance_output(&mut self, count: usize) {
        self.output.consume(count);
        self.sent += count as u64;
    }

    /// Records that [`output`](Self::output) cannot be sent before the client reads. If some of it can be sent later,
    /// the client is alive although it sends nothing.
    pub fn wait_for_reader(&mut self) {
        if self.wants_write() {
            self.clock.note_unread(self.sent);
        }
    }

    /// Tests if input is to be read. If not, the client has to read first, or a call has to end.
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

    /// Tests if output is to be sent.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.output.len() > 0
    }

    /// Tests if the connection is to be closed. Valid when [`poll`](Self::poll) has returned `None`.
    ///
    /// After a violation (DM-801) or an expiry (DM-906) this returns `true` at once; after a close or the end of the
    /// input, when all calls are answered and all answers are sent (DM-809, DM-811).
    #[must_use]
    pub fn should_close(&self) -> bool {
        let drained = self.in_progress.is_empty() && !self.wants_write();
        match self.state {
            SessionState::Serving => self.input_ended && drained && self.halt == Halt::NoInput,
            SessionState::Closing | SessionState::Denied => drained,
            SessionState::Broken => true,
        }
    }

    /// Returns the state of the session.
    #[must_use]
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// Tests if the client is authenticated, or need not be.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        self.checks.authenticated
    }

    /// Begins the time for the handshake of the transport, when the client has a slot. Without a handshake, does
    /// nothing.
    pub fn begin_handshake(&mut self, now: MonotonicTime) {
        self.clock
            .begin_handshake(now, self.limits.handshake_timeout);
    }

    /// Records that the handshake of the transport was completed successfully.
    pub const fn end_handshake(&mut self) {
        self.awaits_handshake = false;
    }

    /// Tests if the client is anonymous: it is not authenticated, or the handshake of its transport is not completed.
    /// The session expires after [`ClientLimits::auth_timeout`] then, and in the handshake after
    /// [`ClientLimits::handshake_timeout`] (DM-603).
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.awaits_handshake || !self.is_authenticated()
    }

    /// Returns the access of the client: as configured, or read-only after a read-only open (DM-1101).
    #[must_use]
    pub const fn access(&self) -> Access {
        self.checks.access
    }

    /// Returns the number of calls that were handed out and are not answered.
    #[must_use]
    pub fn calls_in_progress(&self) -> usize {
        self.in_progress.len()
    }

    /// Returns the time of the last byte; [`MonotonicTime::ZERO`] if no byte has arrived.
    #[must_use]
    pub const fn last_heard(&self) -> MonotonicTime {
        self.clock.last_heard()
    }

    /// Tests if the next call has to wait for one in progress: there are as many as allowed (DM-806), or one of them
    /// decides about the access of the next one, as an open and a step of authentication do.
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

    /// Tests if nothing is read because calls have to end first, so that silence is no sign of a dead client.
    fn waits_for_calls(&self) -> bool {
        let has_room = self.output.len() < self.limits.max_output.get();
        has_room && !self.in_progress.is_empty() && !self.wants_read() && !self.has_more()
    }

    /// Ends the session at once: unsent output is lost (DM-906).
    fn expire(&mut self, expiry: Expiry) {
        self.abandon(SessionState::Broken);
        self.expired = Some(expiry);
    }

    /// Tests if only the skipped message waits, so that a ping behind it can be read (DM-905).
    fn is_parked_only(&self) -> bool {
        self.parked.is_some() && matches!(self.splitter.head(), Ok(None))
    }
}
