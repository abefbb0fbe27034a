//! A connection and its session: moves bytes between the two, and calls to the driver.

use super::Dispatcher;
use super::hub::Hub;
use crate::core::Refused;
use crate::driver::Driver;
use crate::events::Events;
use crate::id::HandleId;
use crate::net::Socket;
use crate::session::{Event, Request, Session, SessionConfig};
use crate::sync::Mutex;
use crate::time::Time;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// How much is read at once, and how often in one event, so that a client that sends without end leaves
/// the others their turn.
const READ_SIZE: usize = 16 * 1024;
const READ_BUDGET: usize = 8;

/// One connection.
pub(super) struct Client {
    id: u64,
    /// Taken before the hub's lock where both are needed.
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// Gone when the client is: what it had open is closed then.
    dispatcher: Option<Dispatcher>,
    handle: Option<HandleId>,
    interest: Events,
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

impl Client {
    pub(super) fn new(id: u64, session: SessionConfig, driver: Arc<dyn Driver>) -> Client {
        Client {
            id,
            state: Mutex::new(State {
                session: Session::new(session),
                dispatcher: Some(Dispatcher::new(driver)),
                handle: None,
                interest: Events::READABLE | Events::UNCONDITIONAL,
                refused: false,
            }),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Makes the connection a handle of the loop.
    pub(super) fn enable(
        self: &Arc<Client>,
        hub: &Arc<Hub>,
        socket: Socket,
    ) -> Result<(), Refused> {
        let (client, served_by) = (Arc::clone(self), Arc::clone(hub));
        // Held until the handle is known, so that its first call finds it.
        let mut state = self.state.lock();
        let added = hub
            .registry
            .add_handle(socket, state.interest, move |event| {
                client.serve(&served_by, event.source, event.events);
            });
        state.handle = Some(added.map_err(|error| error.reason)?);
        tracing::debug!("client {} connected", self.id);
        Ok(())
    }

    /// Does whatever the connection is ready for.
    fn serve(&self, hub: &Hub, socket: &Socket, events: Events) {
        let mut state = self.state.lock();
        let exchanged = state.exchange(self.id, socket, events, hub.registry.now());
        match exchanged {
            Ok(()) => state.settle_interest(hub),
            Err(end) => {
                tracing::debug!("client {} closed: {end}", self.id);
                self.close(hub, &mut state);
            }
        }
    }

    /// Takes nothing more from the client, and closes the connection once it has read its answers.
    pub(super) fn finish(&self, hub: &Hub) {
        let mut state = self.state.lock();
        state.session.end_of_input();
        if state.session.wants_write() {
            state.settle_interest(hub);
        } else {
            self.close(hub, &mut state);
        }
    }

    fn close(&self, hub: &Hub, state: &mut State) {
        state.dispatcher = None;
        if let Some(handle) = state.handle.take() {
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
        id: u64,
        mut socket: &Socket,
        events: Events,
        now: Time,
    ) -> Result<(), End> {
        self.carry_out_and_flush(id, socket, now)?;
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
                    Ok(0) => self.session.end_of_input(),
                    Ok(count) => {
                        self.session.receive(now, &buffer[..count]);
                        may_have_more = count == buffer.len() || peer_is_gone;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(End::Failed(error)),
                }
                self.carry_out_and_flush(id, socket, now)?;
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

    fn carry_out_and_flush(&mut self, id: u64, mut socket: &Socket, now: Time) -> Result<(), End> {
        loop {
            while let Some(event) = self.session.poll() {
                self.carry_out(id, event, now);
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

    fn carry_out(&mut self, id: u64, event: Event, now: Time) {
        match event {
            Event::Request(request) => self.answer(id, request, now),
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
        }
    }

    fn answer(&mut self, id: u64, request: Request, now: Time) {
        let Some(dispatcher) = &mut self.dispatcher else {
            return;
        };
        let name = request.call.procedure().name;
        let result = dispatcher.dispatch(now, request.call);
        match &result {
            Ok(_) => tracing::debug!("client {id}: call {} {name}", request.serial),
            Err(error) => {
                tracing::debug!("client {id}: call {} {name}: {error}", request.serial);
            }
        }
        self.session.reply(request.ticket, result);
    }

    /// Watches the connection for what the session waits for: always for its end, so that a peer that
    /// vanishes is noticed whatever the session does (DM-807).
    fn settle_interest(&mut self, hub: &Hub) {
        let mut interest = Events::UNCONDITIONAL;
        if self.session.wants_read() {
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
