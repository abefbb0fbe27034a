//! A connection and its session: moves bytes between the two, and calls to the driver.

use super::Dispatcher;
use super::dispatch::Outcome;
use super::hub::Hub;
use super::jobs::Finished;
use crate::core::Refused;
use crate::driver::Driver;
use crate::events::Events;
use crate::id::HandleId;
use crate::net::Socket;
use crate::poller::OsSource;
use crate::session::{Event, Expiry, Request, Session, SessionConfig, Ticket};
use crate::sync::Mutex;
use crate::time::Time;
use std::io::{self, Read, Write};
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
    /// Taken before the hub's lock where both are needed.
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// Gone when the client is: what it had open is closed then.
    dispatcher: Option<Dispatcher>,
    handle: Option<HandleId>,
    interest: Events,
    /// What [`Deadlines`](super::deadlines::Deadlines) has of it.
    scheduled: Option<Time>,
    /// Whether something the client did was refused; the log tells it once.
    refused: bool,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the session is over")]
    Over,
    #[error("the peer is gone")]
    PeerGone,
    #[error("the connection failed: {0}")]
    Failed(io::Error),
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    pub(super) fn new(
        id: u64,
        socket: Socket,
        session: SessionConfig,
        driver: Arc<dyn Driver>,
    ) -> Client {
        Client {
            id,
            socket,
            state: Mutex::new(State {
                session: Session::new(session),
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
        tracing::debug!("client {} connected", self.id);
        Ok(())
    }

    /// Does whatever the connection is ready for.
    fn serve(&self, hub: &Hub, events: Events) {
        let mut state = self.state.lock();
        let exchanged = state.exchange(self, hub, events, hub.registry.now());
        self.settle(hub, &mut state, exchanged);
    }

    /// Does what is due because time has passed.
    pub(super) fn on_time(&self, hub: &Hub) {
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
    pub(super) fn complete(&self, hub: &Hub, finished: impl IntoIterator<Item = Finished>) {
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
    pub(super) fn finish(&self, hub: &Hub) {
        let mut state = self.state.lock();
        state.session.finish();
        let exchanged = state.exchange(self, hub, Events::NONE, hub.registry.now());
        self.settle(hub, &mut state, exchanged);
    }

    /// Waits for what the session waits for, or closes the connection.
    fn settle(&self, hub: &Hub, state: &mut State, exchanged: Result<(), End>) {
        match exchanged {
            Ok(()) => {
                state.settle_interest(hub);
                let next = if state.session.has_more() {
                    Some(Time::ZERO)
                } else {
                    state.session.next_deadline()
                };
                state.scheduled =
                    hub.deadlines
                        .schedule(&hub.registry, self.id, state.scheduled, next);
            }
            Err(end) => {
                tracing::debug!("client {} closed: {end}", self.id);
                self.close(hub, state);
            }
        }
    }

    fn close(&self, hub: &Hub, state: &mut State) {
        if let Some(connection) = state.dispatcher.take().and_then(Dispatcher::close) {
            hub.jobs.close(connection);
        }
        if let Some(handle) = state.handle.take() {
            hub.deadlines.forget(self.id, state.scheduled.take());
            // The connection is closed when the loop drops the callback.
            let _ = hub.registry.remove_handle(handle);
            hub.client_closed(self.id);
        }
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
        let mut socket = &client.socket;
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
                match socket.read(&mut buffer) {
                    Ok(0) => {
                        self.session.tell_time(now);
                        self.session.end_of_input();
                    }
                    Ok(count) => {
                        self.session.receive(now, &buffer[..count]);
                        may_have_more = count == buffer.len() || peer_is_gone;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(End::Failed(error)),
                }
                self.carry_out_and_flush(client, hub, now)?;
            }
        }
        if self.session.should_close() {
            return Err(End::Over);
        }
        // A peer that is gone reads no answers; nobody would notice while the session does not read.
        if events.intersects(Events::UNCONDITIONAL) && !self.session.wants_read() {
            return Err(End::PeerGone);
        }
        Ok(())
    }

    fn carry_out_and_flush(&mut self, client: &Client, hub: &Hub, now: Time) -> Result<(), End> {
        let mut socket = &client.socket;
        loop {
            while let Some(event) = self.session.poll() {
                self.carry_out(client.id, hub, event, now);
            }
            if !self.session.wants_write() {
                return Ok(());
            }
            match socket.write(self.session.output()) {
                Ok(count) => self.session.advance_output(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(End::Failed(error)),
            }
        }
    }

    fn carry_out(&mut self, id: u64, hub: &Hub, event: Event, now: Time) {
        match event {
            Event::Request(request) => self.answer(id, hub, request, now),
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

    /// Watches the connection for what the session waits for: always for its end, so that a peer that
    /// vanishes is noticed whatever the session does (DM-807).
    fn settle_interest(&mut self, hub: &Hub) {
        let mut interest = Events::UNCONDITIONAL;
        // What is left for another turn is taken before anything is read, but then it is.
        if self.session.wants_read() || self.session.has_more() {
            interest |= Events::READABLE;
        }
        if self.session.wants_write() {
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
