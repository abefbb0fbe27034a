//! A connection without a socket: bytes move as the scheduler's dice say.

use crate::client::Client;
use crate::message::Kind;
use crate::situations::Situations;
use crate::wire;
use crate::workers::{Job, Staff};
use eventry::Time;
use eventryd::auth::{Nonce, Sasl, SaslExchange};
use eventryd::flow::{Arrival, Link, Standing};
use eventryd::server::{Dispatcher, Outcome};
use eventryd::session::{
    AuthRequest, AuthResult, AuthStep, Event, Expiry, Request, Session, Ticket,
};
use eventryd::wire::{ErrorDomain, Header, Priority, RemoteError};
use eventryd::worker_pool::JobPriority;
use std::sync::Arc;
use test_support::rng::Rng;

/// What a session is served with.
pub(crate) struct Served {
    /// The server's number for the client.
    pub(crate) id: u64,
    /// How many bytes of a handshake are still to come.
    pub(crate) handshake: usize,
    /// Gone when the client is.
    pub(crate) dispatcher: Option<Dispatcher>,
    pub(crate) exchange: SaslExchange,
    /// What it has shown of itself.
    pub(crate) standing: Standing,
    /// What polkit is still to be asked.
    pub(crate) question: Option<(Ticket, u32)>,
    /// The connection fails at the next attempt to use it.
    pub(crate) fails: bool,
    /// Why the session gave the client up.
    pub(crate) expired: Option<Expiry>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) rng: Rng,
    pub(crate) staff: Staff,
    pub(crate) sasl: Arc<Sasl>,
    /// How much is read at once.
    pub(crate) read_size: usize,
    pub(crate) met: Situations,
    /// Everything moves as much as it can.
    pub(crate) is_fair: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the connection was reset")]
    Reset,
}

/// A connection and who carries out its calls.
pub(crate) struct Line<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) served: &'a mut Served,
    pub(crate) shared: &'a mut Shared,
}

impl Line<'_> {
    fn authenticate(&mut self, session: &mut Session, request: &AuthRequest) {
        self.client.books.hand_out(request.serial);
        self.served.standing.step();
        if request.step == AuthStep::Polkit {
            self.served.question = Some((request.ticket, request.serial));
            return;
        }
        let nonce = Nonce::from_random(std::array::from_fn(|_| {
            u8::try_from(self.shared.rng.below(256)).expect("a byte")
        }));
        let exchange = &mut self.served.exchange;
        let progress = request.step.by_sasl(exchange, &self.shared.sasl, &nonce);
        let progress = progress.expect("polkit is not asked");
        self.client.books.complete(request.serial);
        session.authenticate(request.ticket, AuthResult::from(progress));
    }

    fn answer(&mut self, session: &mut Session, request: Request, now: Time) {
        let Request {
            ticket,
            serial,
            call,
        } = request;
        self.client.books.hand_out(serial);
        self.served.standing.used();
        let Some(dispatcher) = &self.served.dispatcher else {
            panic!("DM-810: a client that is gone makes a call");
        };
        let task = dispatcher.prepare(call);
        let outcome = if task.may_block() {
            let urgency = match task.procedure().priority {
                Priority::High => JobPriority::High,
                Priority::Normal => JobPriority::Normal,
            };
            let client = self.served.id;
            let job = Job::Call {
                client,
                ticket,
                serial,
                task,
            };
            let (staff, rng) = (&mut self.shared.staff, &mut self.shared.rng);
            if staff.submit(urgency, job, rng) {
                return;
            }
            self.shared.met.no_worker += 1;
            self.client.books.fail(serial);
            let error = RemoteError::internal(ErrorDomain::RPC, "there is no worker");
            Outcome::failed(error)
        } else {
            task.run(now)
        };
        self.client.books.complete(serial);
        self.reply(session, ticket, outcome);
    }

    pub(crate) fn reply(&mut self, session: &mut Session, ticket: Ticket, outcome: Outcome) {
        if let Some(dispatcher) = &mut self.served.dispatcher {
            let result = dispatcher.finish(outcome);
            session.reply(ticket, result);
        }
    }
}

impl Link for Line<'_> {
    type Error = Failure;

    fn carry_out(&mut self, session: &mut Session, now: Time, event: Event) {
        self.client.books.look(session.output());
        let met = &mut self.shared.met;
        match event {
            Event::Request(request) => self.answer(session, request, now),
            Event::Authenticate(request) => self.authenticate(session, &request),
            Event::Refused { header, .. } => {
                met.refused += 1;
                self.client.books.refused(header.serial);
            }
            Event::Dropped { header, .. } => {
                let Header {
                    program, serial, ..
                } = header;
                let is_keepalive = program == wire::KEEPALIVE;
                self.client.books.drop_message(is_keepalive, serial);
            }
            Event::Throttled { .. } => met.throttled += 1,
            Event::Violation(_) => {
                met.violations += 1;
                self.client.books.end_by_violation();
            }
            Event::Expired(expiry) => self.served.expired = Some(expiry),
        }
    }

    fn read(&mut self, session: &mut Session, now: Time) -> Result<Arrival, Failure> {
        if self.served.fails {
            return Err(Failure::Reset);
        }
        let arrived = self.client.to_server.len();
        if arrived == 0 && !self.client.eof && !self.client.vanished {
            return Ok(Arrival::Nothing);
        }
        let mut bytes: Vec<u8> = {
            let count = arrived.min(self.shared.read_size);
            self.client.to_server.drain(..count).collect()
        };
        let count = bytes.len();
        if count == 0 {
            session.tell_time(now);
            session.end_of_input();
            let books = &mut self.client.books;
            books.input_is_over = true;
            books.silence.begin_end(now);
            return Ok(Arrival::Short);
        }
        let of_handshake = count.min(self.served.handshake);
        if of_handshake > 0 {
            bytes.drain(..of_handshake);
            self.served.handshake -= of_handshake;
            if self.served.handshake == 0 {
                session.end_handshake();
            }
        }
        if !bytes.is_empty() {
            let books = &mut self.client.books;
            books.silence.hear();
            books.delivered += bytes.len();
            session.receive(now, &bytes);
        }
        Ok(if count == self.shared.read_size {
            Arrival::Full
        } else {
            Arrival::Short
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.client.books.look(bytes);
        if !bytes.is_empty() {
            self.served.standing.used();
        }
        if self.served.fails || (self.client.vanished && !bytes.is_empty()) {
            return Err(Failure::Reset);
        }
        let room = self.client.room - self.client.from_server.len();
        let most = bytes.len().min(room);
        let count = if most == 0 || self.shared.is_fair {
            most
        } else {
            1 + self.shared.rng.below(most)
        };
        self.shared.met.partial_sends += usize::from(count < bytes.len());
        self.client.from_server.extend(&bytes[..count]);
        self.client.books.sent += count as u64;
        Ok(count)
    }

    fn wants_write(&self) -> bool {
        false
    }
}

/// What the user has said to polkit.
pub(crate) fn verdict(client: &Client, serial: u32) -> AuthResult {
    match client.books.kind_of(serial) {
        Some(Kind::Polkit { granted: true }) => AuthResult::Complete(None),
        _ => AuthResult::Failed(RemoteError::authentication_failed()),
    }
}
