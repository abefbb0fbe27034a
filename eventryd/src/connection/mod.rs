//! One connection: transport, protocol state and progress of one client.
//!
//! A [`Connection`] is driven by its owner and never calls it. An input such as [`on_ready`](Connection::on_ready)
//! or [`complete`](Connection::complete) only records what has happened. Then the owner calls
//! [`next_action`](Connection::next_action) until there is none, and waits for the events and the deadline that
//! [`watch`](Connection::watch) returns. Reading, decrypting, decoding and sending happen inside `next_action`.
//! The connection depends on no server, hypervisor, lock or clock, so that the daemon, the simulator and the fuzz
//! targets run the same code.

mod action;
mod auth;
mod linger;
mod progress;
mod socket;
#[cfg(test)]
mod tests;
mod transport;

pub use action::{Action, CloseReason, Notice, Watch};
pub use auth::ClientAuth;
pub use progress::ProgressChange;
pub use socket::SocketTransport;
pub use transport::{Amount, Discarded, Handshake, ReadOutcome, Transport, TransportError};

use crate::session::{AuthResult, Event, Session, SessionConfig, SessionState, Ticket};
use crate::wire::{RemoteError, Reply};
use eventry::{Events, MonotonicTime};
use linger::{LINGER_TIME, Linger};
use progress::ClientProgress;
use std::time::Duration;

/// The maximum number of reads in one turn, so that a client that sends continuously does not delay the others.
const READ_BUDGET: u8 = 8;

/// One client's connection.
///
/// ```
/// use eventry::{Events, MonotonicTime};
/// use eventryd::connection::{
///     Action, Amount, ClientAuth, Connection, Discarded, ReadOutcome, Transport, TransportError,
/// };
/// use eventryd::session::SessionConfig;
/// use eventryd::wire::{Call, Header, Reply, TypeRet, write_message};
///
/// /// A pipe with the bytes that the client has sent. It accepts every answer.
/// struct Pipe(Vec<u8>);
///
/// impl Transport for Pipe {
///     fn read(&mut self, mut plaintext: impl FnMut(&[u8])) -> Result<ReadOutcome, TransportError> {
///         plaintext(&std::mem::take(&mut self.0));
///         Ok(ReadOutcome { amount: Amount::Short, ended: false, handshake: None })
///     }
///     fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
///         Ok(bytes.len())
///     }
///     fn flush(&mut self) -> Result<(), TransportError> {
///         Ok(())
///     }
///     fn wants_write(&self) -> bool {
///         false
///     }
///     fn is_open(&self) -> bool {
///         true
///     }
///     fn close_notify(&mut self) {}
///     fn begin_linger(&mut self) -> bool {
///         false
///     }
///     fn discard(&mut self) -> Result<Discarded, TransportError> {
///         Ok(Discarded::End)
///     }
/// }
///
/// let call = Call::ConnectGetType(());
/// let mut sent = Vec::new();
/// write_message(&mut sent, Header::call(call.procedure(), 1), |to| call.encode(to))?;
///
/// let (config, auth) = (SessionConfig::default(), ClientAuth::default());
/// let mut connection = Connection::new(Pipe(sent), config, auth, true);
/// connection.on_ready(Events::READABLE, MonotonicTime::ZERO);
/// while let Some(action) = connection.next_action(MonotonicTime::ZERO) {
///     if let Action::Dispatch(request) = action {
///         let reply = Reply::ConnectGetType(TypeRet { name: "TEST".into() });
///         connection.complete(request.ticket, Ok(reply), MonotonicTime::ZERO);
///     }
/// }
/// assert_eq!(connection.watch().interest, Events::READABLE | Events::UNCONDITIONAL);
/// # Ok::<(), eventryd::wire::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Connection<T> {
    transport: T,
    session: Session,
    auth: ClientAuth,
    progress: ClientProgress,
    phase: Phase,
    turn: Turn,
    /// The reason to close, until it is handed out.
    closing: Option<CloseReason>,
    /// Set if the session has exceeded a limit: the client is closed at once.
    has_expired: bool,
    /// Set if the peer sends no more, so that no input can be unread.
    has_ended: bool,
    linger_time: Duration,
    /// Set while input is dropped, after the session has ended.
    linger: Option<Linger>,
}

/// The phases of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client waits for a slot and has sent nothing. Nothing is read.
    Silent,
    /// The client waits for a slot and has sent something. Nothing is read.
    Speaking,
    /// The client has a slot.
    Admitted,
}

/// The remaining work of one turn, which lasts from an input until there is no action.
#[derive(Debug)]
struct Turn {
    /// Set when there are no more actions.
    is_over: bool,
    /// The events that the transport was reported for.
    ready: Events,
    /// Set if the session may have events or output.
    must_send: bool,
    reads_left: u8,
    /// Set if the deadline is to be checked after the reads.
    deadline_due: bool,
}

impl<T: Transport> Connection<T> {
    /// Creates a connection. With `admitted` it has a slot; otherwise nothing is read before
    /// [`admit`](Self::admit).
    pub fn new(transport: T, config: SessionConfig, auth: ClientAuth, admitted: bool) -> Self {
        let accepted = config.accepted;
        let linger_time = config.limits.max_linger.min(LINGER_TIME);
        let mut session = Session::new(config);
        if admitted {
            session.begin_handshake(accepted);
        }
        Connection {
            progress: ClientProgress::new(&session, transport.is_open()),
            transport,
            session,
            auth,
            phase: if admitted {
                Phase::Admitted
            } else {
                Phase::Silent
            },
            turn: Turn {
                is_over: true,
                ready: Events::NONE,
                must_send: false,
                reads_left: 0,
                deadline_due: false,
            },
            closing: None,
            has_expired: false,
            has_ended: false,
            linger_time,
            linger: None,
        }
    }

    /// Records that the transport is ready.
    pub fn on_ready(&mut self, events: Events, now: MonotonicTime) {
        self.begin_turn(events, now);
    }

    /// Records that the deadline of [`watch`](Self::watch) has passed.
    ///
    /// The transport is read first and the deadline is checked afterwards: otherwise a delay of the loop would
    /// count as silence of the client (DM-908).
    pub fn on_deadline(&mut self, now: MonotonicTime) {
        self.begin_turn(Events::READABLE, now);
        self.turn.deadline_due = true;
    }

    /// Records that the connection has a slot.
    pub fn admit(&mut self, now: MonotonicTime) {
        self.phase = Phase::Admitted;
        self.session.begin_handshake(now);
        self.begin_turn(Events::READABLE, now);
    }

    /// Records that the daemon stops: nothing more is read, and the connection closes when all calls are answered
    /// and all answers are sent.
    pub fn drain(&mut self, now: MonotonicTime) {
        self.session.finish();
        self.begin_turn(Events::NONE, now);
    }

    /// Records the result of a call, which answers an [`Action::Dispatch`].
    pub fn complete(
        &mut self,
        ticket: Ticket,
        result: Result<Reply, RemoteError>,
        now: MonotonicTime,
    ) {
        self.resume(now);
        self.session.reply(ticket, result);
    }

    /// Records a decision about the client, which answers an [`Action::Authenticate`].
    pub fn authenticated(&mut self, ticket: Ticket, result: AuthResult, now: MonotonicTime) {
        // The decision may have taken long, because polkit asks a user. The time to read a denial begins now.
        self.resume(now);
        self.session.authenticate(ticket, result);
    }

    /// Reads, decrypts, decodes and sends until the owner must act; `None` ends the turn.
    ///
    /// The order within a turn: session events, then output, then at most eight reads, each followed by the same,
    /// then the deadline, if it is due, and last the check for closing.
    pub fn next_action(&mut self, now: MonotonicTime) -> Option<Action> {
        if self.turn.is_over {
            return None;
        }
        if let Some(linger) = &mut self.linger {
            self.turn.is_over = true;
            let reason = linger.discard(&mut self.transport, self.turn.reads_left, now);
            return reason.map(Action::Close);
        }
        while self.closing.is_none() {
            if self.turn.must_send {
                let notice = match self.session.poll() {
                    None => {
                        match self.send() {
                            Ok(has_sent) => self.turn.must_send = has_sent,
                            Err(error) => self.closing = Some(error.into()),
                        }
                        continue;
                    }
                    Some(Event::Request(request)) => {
                        self.progress.record_use();
                        return Some(Action::Dispatch(request));
                    }
                    Some(Event::Authenticate(request)) => {
                        self.progress.record_auth_step();
                        return Some(Action::Authenticate(request));
                    }
                    Some(Event::Refused { header, refusal }) => Notice::Refused { header, refusal },
                    Some(Event::Dropped { header, reason }) => Notice::Dropped { header, reason },
                    Some(Event::Throttled { in_progress }) => Notice::Throttled { in_progress },
                    Some(Event::Violation(violation)) => Notice::Violation(violation),
                    Some(Event::Expired(expiry)) => {
                        self.has_expired = true;
                        Notice::Expired(expiry)
                    }
                };
                return Some(Action::Log(notice));
            } else if self.turn.reads_left > 0 && self.session.wants_read() {
                match self.read(now) {
                    Ok(None) => {}
                    Ok(Some(warning)) => return Some(Action::Log(Notice::Certificate(warning))),
                    Err(error) => self.closing = Some(error.into()),
                }
            } else {
                self.closing = self.close_reason();
                if self.closing.is_some() || !self.turn.deadline_due {
                    break;
                }
                self.session.on_deadline(now);
                self.begin_turn(Events::NONE, now);
            }
        }
        if let Some(change) = self.next_progress() {
            return Some(Action::Progress(change));
        }
        let Some(reason) = self.closing.take() else {
            self.turn.is_over = true;
            return None;
        };
        if self.must_linger(&reason) && self.transport.begin_linger() {
            self.linger = Some(Linger::begin(now, self.linger_time));
            self.turn.reads_left = READ_BUDGET;
            return Some(Action::Linger(reason));
        }
        self.turn.is_over = true;
        Some(Action::Close(reason))
    }

    /// Tests if bytes may have been sent that the peer is to receive, although it may still send.
    fn must_linger(&self, reason: &CloseReason) -> bool {
        let is_orderly = match reason {
            CloseReason::Over | CloseReason::Denied => !self.has_expired,
            // An alert was sent.
            CloseReason::Failed(TransportError::Tls(_)) => true,
            CloseReason::Failed(_) | CloseReason::PeerGone | CloseReason::LingerOver => false,
        };
        is_orderly && self.phase == Phase::Admitted && !self.has_ended
    }

    /// Returns the interest and the deadline to wait for. Valid when [`next_action`](Self::next_action) has
    /// returned `None`.
    #[must_use]
    pub fn watch(&self) -> Watch {
        if let Some(linger) = &self.linger {
            return Watch {
                interest: Events::READABLE | Events::UNCONDITIONAL,
                deadline: Some(linger.until),
            };
        }
        Watch {
            interest: self.interest(),
            // Not earlier: due connections are served in the order of their times, and those that always have more
            // messages must not be first for ever.
            deadline: if self.session.has_more() {
                Some(self.session.time())
            } else {
                self.session.next_deadline()
            },
        }
    }

    /// Returns the protocol state.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the authentication state.
    #[must_use]
    pub const fn auth(&self) -> &ClientAuth {
        &self.auth
    }

    /// Returns the authentication state, for changes by the owner.
    pub const fn auth_mut(&mut self) -> &mut ClientAuth {
        &mut self.auth
    }

    /// Notifies the peer that the connection closes, if the transport accepts that without blocking. The owner
    /// then drops the connection.
    pub fn close(&mut self) {
        if !self.is_lingering() {
            self.transport.close_notify();
        }
    }

    /// Tests if the session has ended, and input is dropped until the peer closes its side.
    #[must_use]
    pub const fn is_lingering(&self) -> bool {
        self.linger.is_some()
    }

    fn begin_turn(&mut self, ready: Events, now: MonotonicTime) {
        // The end of the session may begin in this turn, with input that was received in an earlier one.
        self.session.set_time(now);
        self.session.begin_turn();
        let may_read = self.phase == Phase::Admitted
            && ready.intersects(Events::READABLE | Events::UNCONDITIONAL);
        self.turn = Turn {
            is_over: false,
            ready,
            must_send: true,
            reads_left: if may_read { READ_BUDGET } else { 0 },
            deadline_due: false,
        };
    }

    /// Begins a turn, unless one is in progress: a result may arrive after the turn that requested it.
    fn resume(&mut self, now: MonotonicTime) {
        if self.turn.is_over {
            self.begin_turn(Events::NONE, now);
        }
    }

    /// Sends output once; returns `true` if the transport has taken some.
    fn send(&mut self) -> Result<bool, TransportError> {
        let output = self.session.output();
        let taken = if output.is_empty() {
            self.transport.flush()?;
            0
        } else {
            self.progress.record_use();
            self.transport.write(output)?
        };
        if taken == 0 {
            self.session.wait_for_reader();
        } else {
            self.session.advance_output(taken);
        }
        Ok(taken > 0)
    }

    /// Reads once. Returns a warning about the certificate of the client, if there is one.
    fn read(&mut self, now: MonotonicTime) -> Result<Option<String>, TransportError> {
        let session = &mut self.session;
        let outcome = self.transport.read(|bytes| session.receive(now, bytes))?;
        self.turn.reads_left -= 1;
        // A short read has emptied the transport. After a hang-up or an error, the end of the input is still to be
        // read.
        let may_have_more = match outcome.amount {
            Amount::Full => true,
            Amount::Short => self.turn.ready.intersects(Events::UNCONDITIONAL),
            Amount::Nothing => false,
        };
        if !may_have_more {
            self.turn.reads_left = 0;
        }
        self.turn.must_send = outcome.amount != Amount::Nothing;
        let mut warning = None;
        if let Some(handshake) = outcome.handshake {
            session.end_handshake();
            if handshake.name.is_some() {
                self.auth.identity.authenticated_mut().x509_dn = handshake.name;
            }
            warning = handshake.warning;
        }
        if outcome.ended {
            self.has_ended = true;
            session.end_of_input();
        }
        Ok(warning)
    }

    /// Returns the reason to close the connection, if there is one.
    fn close_reason(&self) -> Option<CloseReason> {
        let state = self.session.state();
        // Bytes in the transport are still to be sent, unless the client broke the protocol.
        let is_sent = !self.transport.wants_write() || state == SessionState::Broken;
        if self.session.should_close() && is_sent {
            return Some(match state {
                SessionState::Denied => CloseReason::Denied,
                _ => CloseReason::Over,
            });
        }
        // While nothing is read, only the event shows that the peer is gone.
        let reads = self.phase == Phase::Admitted && self.session.wants_read();
        let is_gone = self.turn.ready.intersects(Events::UNCONDITIONAL) && !reads;
        is_gone.then_some(CloseReason::PeerGone)
    }

    fn next_progress(&mut self) -> Option<ProgressChange> {
        if self.phase == Phase::Silent
            && self.closing.is_none()
            && self.turn.ready.intersects(Events::READABLE)
        {
            self.phase = Phase::Speaking;
            return Some(ProgressChange::Spoke);
        }
        let is_open = self.transport.is_open();
        self.progress.change(&self.session, is_open)
    }

    /// Returns the registered events. The disconnect of the peer is among them in every state (DM-807).
    fn interest(&self) -> Events {
        let mut interest = Events::UNCONDITIONAL;
        let reads = match self.phase {
            Phase::Silent => true,
            Phase::Speaking => false,
            // The next turn takes the messages that this one left, and then reads.
            Phase::Admitted => self.session.wants_read() || self.session.has_more(),
        };
        if reads {
            interest |= Events::READABLE;
        }
        if self.session.wants_write() || self.transport.wants_write() {
            interest |= Events::WRITABLE;
        }
        interest
    }
}
