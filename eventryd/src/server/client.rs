//! A connection and its session: moves bytes between the two, and calls to the driver.

mod link;

use super::Dispatcher;
use super::dispatch::Outcome;
use super::gate::Entry;
use super::hub::Hub;
use super::jobs::Finished;
use crate::driver::Driver;
use crate::flow::{self, End, News, Peer, Standing};
use crate::net::tls::{Received, TlsFailure};
use crate::net::{Channel, Socket};
use crate::session::{AuthRequest, AuthResult, AuthStep, Request, Session, SessionConfig, Ticket};
use crate::sync::Mutex;
use eventry::Events;
use eventry::HandleId;
use eventry::Time;
use eventry::core::Refused;
use eventry::poller::OsSource;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// One connection.
pub(super) struct Client {
    id: u64,
    socket: Socket,
    /// Who it counts as.
    peer: Peer,
    /// Taken before the hub's lock where both are needed.
    state: Mutex<State>,
}

struct State {
    session: Session,
    served: Served,
    handle: Option<HandleId>,
    interest: Events,
    /// Whether it is served; otherwise it waits for a place, and nothing is read from it.
    has_place: bool,
    /// What [`Deadlines`](super::deadlines::Deadlines) has of it.
    scheduled: Option<Time>,
}

/// What a session is served with.
struct Served {
    channel: Channel,
    /// Gone when the client is: what it had open is closed then.
    dispatcher: Option<Dispatcher>,
    /// Who it is.
    entry: Entry,
    /// What it has shown of itself.
    standing: Standing,
    /// What polkit is still to be asked.
    question: Option<Ticket>,
    /// Whether something the client did was refused; the log tells it once.
    refused: bool,
}

/// A session's connection, and who carries out its calls.
struct Line<'a> {
    client: &'a Client,
    hub: &'a Hub,
    served: &'a mut Served,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the connection failed: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsFailure),
}

/// What came of moving bytes and calls.
type Exchanged = Result<(), End<Failure>>;

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    pub(super) fn new(
        id: u64,
        (socket, channel, peer): (Socket, Channel, Peer),
        (session, entry): (SessionConfig, Entry),
        driver: Arc<dyn Driver>,
        has_place: bool,
    ) -> Client {
        let session = Session::new(session);
        Client {
            id,
            socket,
            peer,
            state: Mutex::new(State {
                served: Served {
                    standing: Standing::new(&session, channel.is_open()),
                    channel,
                    entry,
                    question: None,
                    dispatcher: Some(Dispatcher::new(driver)),
                    refused: false,
                },
                session,
                handle: None,
                has_place,
                interest: Events::READABLE | Events::UNCONDITIONAL,
                scheduled: None,
            }),
        }
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
        let identity = &state.served.entry.identity;
        tracing::debug!("client {} connected: {identity}", self.id);
        // Who says nothing is heard of again only because time passes.
        state.schedule(self.id, hub);
        // It may have to go before the next turn, for want of room among those who say nothing.
        if !state.has_place && self.socket.has_input() {
            self.wait_on(hub, &mut state, Events::READABLE);
        }
        Ok(())
    }

    /// Does whatever the connection is ready for.
    fn serve(self: &Arc<Client>, hub: &Arc<Hub>, events: Events) {
        let mut state = self.state.lock();
        if !state.has_place {
            self.wait_on(hub, &mut state, events);
            return;
        }
        let exchanged = state.exchange(self, hub, events, hub.registry.now());
        self.settle(hub, &mut state, exchanged);
    }

    /// Goes on waiting for a place, for which it has asked now that it has said something.
    fn wait_on(self: &Arc<Client>, hub: &Arc<Hub>, state: &mut State, events: Events) {
        if events.intersects(Events::UNCONDITIONAL) {
            self.settle(hub, state, Err(End::PeerGone));
        } else if events.intersects(Events::READABLE) {
            state.watch_for(hub, Events::UNCONDITIONAL);
            hub.newcomer_spoke(self.id);
        }
    }

    /// Begins to be served: there is a place now.
    pub(super) fn take_place(self: &Arc<Client>, hub: &Arc<Hub>) {
        let mut state = self.state.lock();
        state.has_place = true;
        if state.handle.is_some() {
            tracing::debug!("client {} has a place", self.id);
            let exchanged = state.exchange(self, hub, Events::READABLE, hub.registry.now());
            self.settle(hub, &mut state, exchanged);
        }
    }

    /// Does what is due because time has passed.
    pub(super) fn on_time(self: &Arc<Client>, hub: &Arc<Hub>) {
        let mut state = self.state.lock();
        state.scheduled = None;
        if state.handle.is_none() {
            return;
        }
        let now = hub.registry.now();
        let exchanged = if state.has_place {
            state.on_time(self, hub, now)
        } else {
            state.session.on_time(now);
            state.exchange(self, hub, Events::NONE, now)
        };
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
            let State {
                session, served, ..
            } = &mut *state;
            served.reply(session, call.ticket, call.outcome);
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
    fn settle(self: &Arc<Client>, hub: &Arc<Hub>, state: &mut State, exchanged: Exchanged) {
        let exchanged = exchanged.and_then(|()| self.ask(hub, state));
        state.tell_standing(self.id, hub);
        match exchanged {
            Ok(()) => {
                state.settle_interest(hub);
                state.schedule(self.id, hub);
            }
            Err(end) => {
                let (id, identity) = (self.id, &state.served.entry.identity);
                // What keeps a client out is for the operator to see.
                if matches!(end, End::Failed(Failure::Tls(_))) {
                    tracing::warn!("client {id} closed: {end}; {identity}");
                } else {
                    tracing::debug!("client {id} closed: {end}; {identity}");
                }
                self.close(hub, state);
            }
        }
    }

    /// Has polkit asked, if the client wants it to be.
    fn ask(self: &Arc<Client>, hub: &Arc<Hub>, state: &mut State) -> Exchanged {
        while let Some(ticket) = state.served.question.take() {
            let (client, served_by) = (Arc::clone(self), Arc::clone(hub));
            let then = move |result| client.decided(&served_by, ticket, result);
            let access = state.session.access();
            if let Err(refused) = hub.gate.ask(self.id, &state.served.entry, access, then) {
                state.authenticate(self, hub, (ticket, refused))?;
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
        let exchanged = state.authenticate(self, hub, (ticket, result));
        self.settle(hub, &mut state, exchanged);
    }

    fn close(&self, hub: &Hub, state: &mut State) {
        if let Some(connection) = state.served.dispatcher.take().and_then(Dispatcher::close) {
            hub.jobs.close(connection);
        }
        if let Some(handle) = state.handle.take() {
            state.served.channel.farewell(&self.socket);
            hub.deadlines.forget(self.id, state.scheduled.take());
            // The connection is closed when the loop drops the callback.
            let _ = hub.registry.remove_handle(handle);
            hub.client_closed(self.id, self.peer);
        }
    }

    /// Ends what has never been a handle of the loop.
    pub(super) fn give_up(&self, hub: &Hub) {
        hub.client_closed(self.id, self.peer);
    }

    /// Closes the connection for somebody else's sake.
    pub(super) fn give_way(&self, hub: &Hub) {
        let why = "all places are taken, and it has not shown who it is, nor made a call: it gives way to a \
                   newcomer";
        let identity = self.state.lock().served.entry.identity.to_string();
        tracing::warn!("client {} closed: {why}; {identity}", self.id);
        self.turn_away(hub);
    }

    /// Closes the connection, of which the log has been told.
    pub(super) fn turn_away(&self, hub: &Hub) {
        self.close(hub, &mut self.state.lock());
    }
}

impl State {
    /// The session, and what it is served over.
    fn parts<'a>(&'a mut self, client: &'a Client, hub: &'a Hub) -> (&'a mut Session, Line<'a>) {
        let served = &mut self.served;
        let line = Line {
            client,
            hub,
            served,
        };
        (&mut self.session, line)
    }

    /// Moves bytes and calls until there is nothing left to move.
    fn exchange(&mut self, client: &Client, hub: &Hub, events: Events, now: Time) -> Exchanged {
        let (session, mut line) = self.parts(client, hub);
        flow::exchange(session, &mut line, events, now)
    }

    /// Takes what was decided about who the client is.
    fn authenticate(
        &mut self,
        client: &Client,
        hub: &Hub,
        decided: (Ticket, AuthResult),
    ) -> Exchanged {
        let (session, mut line) = self.parts(client, hub);
        flow::authenticate(session, &mut line, decided, hub.registry.now())
    }

    /// Does what is due at `now`.
    fn on_time(&mut self, client: &Client, hub: &Hub, now: Time) -> Exchanged {
        let (session, mut line) = self.parts(client, hub);
        flow::on_time(session, &mut line, now)
    }

    /// Tells the hub what the client has shown of itself.
    fn tell_standing(&mut self, id: u64, hub: &Hub) {
        let is_open = self.served.channel.is_open();
        match self.served.standing.news(&self.session, is_open) {
            None => {}
            Some(News::Further { waits_for_us }) => hub.client_progressed(id, waits_for_us),
            Some(News::Settled { was_anonymous }) => {
                if was_anonymous {
                    let identity = &self.served.entry.identity;
                    tracing::info!("client {id} authenticated: {identity}");
                }
                hub.client_settled(id);
            }
        }
    }

    /// Has the client called when its time comes.
    fn schedule(&mut self, id: u64, hub: &Hub) {
        let next = flow::next_call(&self.session);
        let scheduled = self.scheduled;
        self.scheduled = hub.deadlines.schedule(&hub.registry, id, scheduled, next);
    }

    /// Watches the connection for what the session waits for.
    fn settle_interest(&mut self, hub: &Hub) {
        let interest = flow::interest(&self.session, self.served.channel.wants_write());
        if self.has_place {
            self.watch_for(hub, interest);
        }
    }

    fn watch_for(&mut self, hub: &Hub, interest: Events) {
        if interest == self.interest {
            return;
        }
        self.interest = interest;
        let Some(handle) = self.handle else { return };
        if let Err(error) = hub.registry.update_handle(handle, interest) {
            tracing::error!("cannot watch a client: {error}");
        }
    }
}

impl Served {
    /// Takes note of what the channel has learned.
    fn note(&mut self, session: &mut Session, id: u64, tls: &Received, now: Time) {
        if let Some(warning) = &tls.warning {
            tracing::warn!("client {id}: its certificate: {warning}");
        }
        if tls.opened {
            session.end_handshake();
            if let Some(name) = self.channel.peer_name() {
                self.entry.identity.authenticated_mut().x509_dn = Some(name.into());
            }
        }
        if tls.ended {
            session.tell_time(now);
            session.end_of_input();
        }
    }

    fn authenticate(&mut self, session: &mut Session, id: u64, hub: &Hub, request: &AuthRequest) {
        self.standing.step();
        if request.step == AuthStep::Polkit {
            self.question = Some(request.ticket);
            return;
        }
        let result = hub.gate.decide(id, &mut self.entry, &request.step);
        session.authenticate(request.ticket, result);
    }

    /// Carries out a call, or has a worker do it.
    fn answer(&mut self, session: &mut Session, id: u64, hub: &Hub, request: Request, now: Time) {
        self.standing.used();
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
        self.reply(session, ticket, outcome);
    }

    fn reply(&mut self, session: &mut Session, ticket: Ticket, outcome: Outcome) {
        if let Some(dispatcher) = &mut self.dispatcher {
            let result = dispatcher.finish(outcome);
            session.reply(ticket, result);
        }
    }
}
