//! A connection and its session: moves bytes between the two, and calls to the driver.

use super::Dispatcher;
use super::dispatch::Outcome;
use super::gate::Entry;
use super::hub::Hub;
use super::jobs::Finished;
use super::service::Reach;
use crate::core::Refused;
use crate::driver::Driver;
use crate::events::Events;
use crate::id::HandleId;
use crate::net::tls::{Received, TlsFailure};
use crate::net::{Channel, ChannelError, Socket};
use crate::poller::OsSource;
use crate::session::{
    AuthRequest, AuthResult, AuthStep, Event, Expiry, Request, Session, SessionConfig,
    SessionState, Ticket,
};
use crate::sync::Mutex;
use crate::time::Time;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// How much is read at once, and how often in one event, so that a client that sends without end leaves
/// the others their turn.
const READ_SIZE: usize = 16 * 1024;
const READ_BUDGET: usize = 8;

/// One connection.
pub(super) struct Client {
    id: u64,
    socket: Socket,
    reach: Reach,
    /// Taken before the hub's lock where both are needed.
    state: Mutex<State>,
}

struct State {
    session: Session,
    channel: Channel,
    /// Gone when the client is: what it had open is closed then.
    dispatcher: Option<Dispatcher>,
    handle: Option<HandleId>,
    interest: Events,
    /// What [`Deadlines`](super::deadlines::Deadlines) has of it.
    scheduled: Option<Time>,
    /// Who it is.
    entry: Entry,
    /// Whether the hub counts it among the anonymous clients.
    anonymous: bool,
    /// What polkit is still to be asked.
    question: Option<Ticket>,
    /// Whether something the client did was refused; the log tells it once.
    refused: bool,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the session is over")]
    Over,
    #[error("it has failed to authenticate too often")]
    Denied,
    #[error("the peer is gone")]
    PeerGone,
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsFailure),
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    pub(super) fn new(
        id: u64,
        (socket, channel): (Socket, Channel),
        reach: Reach,
        (session, entry): (SessionConfig, Entry),
        driver: Arc<dyn Driver>,
    ) -> Client {
        let session = Session::new(session);
        Client {
            id,
            socket,
            reach,
            state: Mutex::new(State {
                anonymous: session.is_anonymous(),
                session,
                channel,
                entry,
                question: None,
                dispatcher: Some(Dispatcher::new(driver)),
                handle: None,
                interest: Events::READABLE | Events::UNCONDITIONAL,
                scheduled: None,
                refused: false,
            }),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Makes the connection a handle of the loop.
    pub(super) fn enable(self: &Arc<Client>, hub: &Arc<Hub>) -> Result<(), Refused> {
        let (client, served_by) = (Arc::clone(self), Arc::clone(hub));
        // Held until the handle is known, so that its first call finds it.
        let mut state = self.state.lock();
        let source = OsSource::shared(Arc::clone(self));
        let added = hub
            .registry
            .add_source(source, state.interest, move |event| {
                client.serve(&served_by, event.events);
            });
        state.handle = Some(added.map_err(|error| error.reason)?);
        tracing::debug!("client {} connected: {}", self.id, state.entry.identity);
        // Who says nothing is heard of again only because time passes.
        state.schedule(self.id, hub);
        Ok(())
    }

    /// Does whatever the connection is ready for.
    fn serve(self: &Arc<Client>, hub: &Arc<Hub>, events: Events) {
        let mut state = self.state.lock();
        let exchanged = state.exchange(self, hub, events, hub.registry.now());
        self.settle(hub, &mut state, exchanged);
    }

    /// Does what is due because time has passed.
    pub(super) fn on_time(self: &Arc<Client>, hub: &Arc<Hub>) {
        let mut state = self.state.lock();
        state.scheduled = None;
        if state.handle.is_none() {
            return;
        }
        let now = hub.registry.now();
        // First what has arrived: whoever has been heard is not silent.
        let heard = if state.session.wants_read() {
            state.exchange(self, hub, Events::READABLE, now)
        } else {
            Ok(())
        };
        let exchanged = heard.and_then(|()| {
            state.session.on_time(now);
            state.exchange(self, hub, Events::NONE, now)
        });
        self.settle(hub, &mut state, exchanged);
    }

    /// Answers calls that workers have carried out, in the order in which they ended.
    pub(super) fn complete(
        self: &Arc<Client>,
        hub: &Arc<Hub>,
        finished: impl IntoIterator<Item = Finished>,
    ) {
        let mut state = self.state.lock();
        if state.handle.is_none() {
            return;
        }
        let now = hub.registry.now();
        state.session.tell_time(now);
        for call in finished {
            if let Err(error) = call.outcome.result() {
                tracing::debug!("client {}: {}: {error}", self.id, call.procedure);
            }
            state.reply(call.ticket, call.outcome);
        }
        let exchanged = state.exchange(self, hub, Events::NONE, now);
        self.settle(hub, &mut state, exchanged);
    }

    /// Takes nothing more from the client, and closes the connection once its calls are over and it has read
    /// its answers.
    pub(super) fn finish(self: &Arc<Client>, hub: &Arc<Hub>) {
        let mut state = self.state.lock();
        state.session.finish();
        let exchanged = state.exchange(self, hub, Events::NONE, hub.registry.now());
        self.settle(hub, &mut state, exchanged);
    }

    /// Waits for what the session waits for, or closes the connection.
    fn settle(self: &Arc<Client>, hub: &Arc<Hub>, state: &mut State, exchanged: Result<(), End>) {
        if state.anonymous && !state.session.is_anonymous() {
            state.anonymous = false;
            tracing::info!("client {} authenticated: {}", self.id, state.entry.identity);
            hub.client_is_known(self.reach);
        }
        match exchanged.and_then(|()| self.ask(hub, state)) {
            Ok(()) => {
                state.settle_interest(hub);
                state.schedule(self.id, hub);
            }
            Err(end) => {
                let (id, identity) = (self.id, &state.entry.identity);
                // What keeps a client out is for the operator to see.
                if matches!(end, End::Tls(_)) {
                    tracing::warn!("client {id} closed: {end}; {identity}");
                } else {
                    tracing::debug!("client {id} closed: {end}; {identity}");
                }
                self.close(hub, state);
            }
        }
    }

    /// Has polkit asked, if the client wants it to be.
    fn ask(self: &Arc<Client>, hub: &Arc<Hub>, state: &mut State) -> Result<(), End> {
        while let Some(ticket) = state.question.take() {
            let (client, served_by) = (Arc::clone(self), Arc::clone(hub));
            let then = move |result| client.decided(&served_by, ticket, result);
            let access = state.session.access();
            if let Err(refused) = hub.gate.ask(self.id, &state.entry, access, then) {
                state.session.authenticate(ticket, refused);
                state.exchange(self, hub, Events::NONE, state.session.last_heard())?;
            }
        }
        Ok(())
    }

    /// Takes what polkit has decided, on whatever thread asked it.
    fn decided(self: &Arc<Client>, hub: &Arc<Hub>, ticket: Ticket, result: AuthResult) {
        let mut state = self.state.lock();
        if state.handle.is_none() {
            return;
        }
        state.session.authenticate(ticket, result);
        let exchanged = state.exchange(self, hub, Events::NONE, hub.registry.now());
        self.settle(hub, &mut state, exchanged);
    }

    fn close(&self, hub: &Hub, state: &mut State) {
        if let Some(connection) = state.dispatcher.take().and_then(Dispatcher::close) {
            hub.jobs.close(connection);
        }
        if let Some(handle) = state.handle.take() {
            hub.deadlines.forget(self.id, state.scheduled.take());
            // The connection is closed when the loop drops the callback.
            let _ = hub.registry.remove_handle(handle);
            self.leave(hub, state);
        }
    }

    /// Ends what has never been a handle of the loop.
    pub(super) fn give_up(&self, hub: &Hub) {
        self.leave(hub, &mut self.state.lock());
    }

    fn leave(&self, hub: &Hub, state: &mut State) {
        if std::mem::take(&mut state.anonymous) {
            hub.client_is_known(self.reach);
        }
        hub.client_closed(self.id);
    }
}

impl State {
    /// Moves bytes and calls until there is nothing left to move.
    fn exchange(
        &mut self,
        client: &Client,
        hub: &Hub,
        events: Events,
        now: Time,
    ) -> Result<(), End> {
        self.session.begin_turn();
        self.carry_out_and_flush(client, hub, now)?;
        if events.intersects(Events::READABLE | Events::UNCONDITIONAL) {
            // A short read has emptied the socket, unless the peer is gone and its end is still to be read.
            let peer_is_gone = events.intersects(Events::UNCONDITIONAL);
            let mut may_have_more = true;
            let mut buffer = [0; READ_SIZE];
            for _ in 0..READ_BUDGET {
                if !may_have_more || !self.session.wants_read() {
                    break;
                }
                let session = &mut self.session;
                let receive = |bytes: &[u8]| session.receive(now, bytes);
                match self.channel.read(&client.socket, &mut buffer, receive) {
                    Ok(arrived) => {
                        may_have_more = arrived.bytes == buffer.len() || peer_is_gone;
                        self.note(client.id, &arrived.tls, now);
                    }
                    Err(ChannelError::Tls(failure)) => return Err(failure.into()),
                    Err(ChannelError::Socket(error)) => match error.kind() {
                        io::ErrorKind::Interrupted => continue,
                        io::ErrorKind::WouldBlock => break,
                        _ => return Err(error.into()),
                    },
                }
                self.carry_out_and_flush(client, hub, now)?;
            }
        }
        // What TLS has not put out yet is still to be sent, unless the client broke the protocol.
        let is_sent = !self.channel.wants_write() || self.session.state() == SessionState::Broken;
        if self.session.should_close() && is_sent {
            return Err(match self.session.state() {
                SessionState::Denied => End::Denied,
                _ => End::Over,
            });
        }
        // A peer that is gone reads no answers; nobody would notice while the session does not read.
        if events.intersects(Events::UNCONDITIONAL) && !self.session.wants_read() {
            return Err(End::PeerGone);
        }
        Ok(())
    }

    fn carry_out_and_flush(&mut self, client: &Client, hub: &Hub, now: Time) -> Result<(), End> {
        let socket = &client.socket;
        loop {
            while let Some(event) = self.session.poll() {
                self.carry_out(client, hub, event, now);
            }
            let written = if self.session.wants_write() {
                self.channel.write(socket, self.session.output())
            } else {
                self.channel.flush(socket).map(|()| 0)
            };
            match written {
                Ok(0) => return Ok(()),
                Ok(count) => self.session.advance_output(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes note of what the channel has learned.
    fn note(&mut self, id: u64, tls: &Received, now: Time) {
        if let Some(warning) = &tls.warning {
            tracing::warn!("client {id}: its certificate: {warning}");
        }
        if tls.opened {
            self.session.end_handshake();
            self.entry.identity.x509_dn = self.channel.peer_name().map(Box::from);
        }
        if tls.ended {
            self.session.tell_time(now);
            self.session.end_of_input();
        }
    }

    fn wants_write(&self) -> bool {
        self.session.wants_write() || self.channel.wants_write()
    }

    fn carry_out(&mut self, client: &Client, hub: &Hub, event: Event, now: Time) {
        let id = client.id;
        match event {
            Event::Request(request) => self.answer(id, hub, request, now),
            Event::Authenticate(request) => self.authenticate(client.id, hub, &request),
            Event::Refused { header, refusal } => {
                let (serial, procedure) = (header.serial, header.procedure);
                if std::mem::replace(&mut self.refused, true) {
                    tracing::debug!("client {id}: call {serial} of {procedure} refused: {refusal}");
                } else {
                    tracing::info!("client {id}: call {serial} of {procedure} refused: {refusal}");
                }
            }
            Event::Dropped { header, reason } => {
                let procedure = header.procedure;
                tracing::debug!("client {id}: a message of {procedure} dropped: {reason}");
            }
            Event::Throttled { in_progress } => {
                tracing::warn!(
                    "client {id} has {in_progress} calls in progress; the next ones wait"
                );
            }
            Event::Violation(violation) => {
                tracing::warn!("client {id} broke the protocol: {violation}; closing");
            }
            Event::Expired(expiry @ Expiry::Dead { .. }) => {
                tracing::info!("client {id}: {expiry}");
            }
            Event::Expired(expiry) => tracing::warn!("client {id}: {expiry}; closing"),
        }
    }

    fn authenticate(&mut self, id: u64, hub: &Hub, request: &AuthRequest) {
        if request.step == AuthStep::Polkit {
            self.question = Some(request.ticket);
            return;
        }
        let result = hub.gate.decide(id, &mut self.entry, &request.step);
        self.session.authenticate(request.ticket, result);
    }

    /// Carries out a call, or has a worker do it.
    fn answer(&mut self, id: u64, hub: &Hub, request: Request, now: Time) {
        let Some(dispatcher) = &self.dispatcher else {
            return;
        };
        let (ticket, serial) = (request.ticket, request.serial);
        let task = dispatcher.prepare(request.call);
        let name = task.procedure().name;
        let outcome = if task.may_block() {
            tracing::debug!("client {id}: call {serial} {name} is left to a worker");
            match hub.jobs.submit(id, ticket, task) {
                None => return,
                Some(outcome) => outcome,
            }
        } else {
            task.run(now)
        };
        match outcome.result() {
            Ok(_) => tracing::debug!("client {id}: call {serial} {name}"),
            Err(error) => tracing::debug!("client {id}: call {serial} {name}: {error}"),
        }
        self.reply(ticket, outcome);
    }

    fn reply(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(dispatcher) = &mut self.dispatcher {
            let result = dispatcher.finish(outcome);
            self.session.reply(ticket, result);
        }
    }

    /// Has the client called when its time comes.
    fn schedule(&mut self, id: u64, hub: &Hub) {
        let next = if self.session.has_more() {
            Some(Time::ZERO)
        } else {
            self.session.next_deadline()
        };
        let scheduled = self.scheduled;
        self.scheduled = hub.deadlines.schedule(&hub.registry, id, scheduled, next);
    }

    /// Watches the connection for what the session waits for: always for its end, so that a peer that
    /// vanishes is noticed whatever the session does (DM-807).
    fn settle_interest(&mut self, hub: &Hub) {
        let mut interest = Events::UNCONDITIONAL;
        // What is left for another turn is taken before anything is read, but then it is.
        if self.session.wants_read() || self.session.has_more() {
            interest |= Events::READABLE;
        }
        if self.wants_write() {
            interest |= Events::WRITABLE;
        }
        if interest == self.interest {
            return;
        }
        self.interest = interest;
        if let Some(handle) = self.handle
            && let Err(error) = hub.registry.update_handle(handle, interest)
        {
            tracing::error!("cannot watch a client: {error}");
        }
    }
}
