//! The places of a daemon's clients: carries out what [`Places`](flow::Places) decides.

use super::{Hub, State};
use crate::driver::Driver;
use crate::flow::{self, Peer, PlaceLimits, Step, Verdict};
use crate::net::Socket;
use crate::server::Config;
use crate::server::client::Client;
use crate::time::Time;
use rustix::process::{Resource, getrlimit};
use std::sync::Arc;
use std::time::Duration;

/// How many steps one turn takes at most, so that others get theirs.
const BUDGET: usize = 64;

/// Descriptors that are not clients': listening sockets, the log, programs that are asked.
const OWN_DESCRIPTORS: u64 = 64;

/// A connection that is no client yet.
pub(super) struct Newcomer {
    /// The service it came by.
    pub(super) index: usize,
    pub(super) socket: Socket,
}

/// What to do without the lock.
enum Next {
    Admit(u64, Newcomer),
    Evict(Arc<Client>),
    /// It has gone by itself.
    Gone,
}

impl Newcomer {
    /// Who it counts as.
    pub(super) fn peer(&self) -> Peer {
        match (&self.socket, self.socket.remote_address()) {
            (Socket::Unix(_), _) => {
                let process = self.socket.unix_peer();
                Peer::User(process.map(|process| process.uid))
            }
            (Socket::Tcp(_), Some(address)) => Peer::at(address.ip()),
            (Socket::Tcp(_), None) => Peer::Nowhere,
        }
    }
}

impl State {
    /// Gives the newcomer back if it has a place; otherwise it waits, or somebody is turned away.
    pub(super) fn arrive(
        &mut self,
        now: Time,
        id: u64,
        newcomer: Newcomer,
        anonymous: bool,
    ) -> Option<Newcomer> {
        let peer = newcomer.peer();
        let somebody = flow::Newcomer { peer, anonymous };
        let refused = match self.admission.arrive(now, newcomer.index, id, somebody) {
            Verdict::Admit => return Some(newcomer),
            Verdict::Wait => None,
            Verdict::Refuse(refused) => Some(refused),
        };
        self.waiting.insert(id, newcomer);
        let refused = refused.and_then(|refused| self.waiting.remove(&refused));
        if let Some(refused) = refused.filter(|_| !self.admission.is_draining()) {
            let (others, peer) = (self.waiting.len(), refused.peer());
            tracing::warn!(
                "a connection of {peer} closed: {others} wait for a place already, and most of them are its"
            );
        }
        None
    }
}

impl Hub {
    /// Makes the timeout that gives newcomers the places that have become free.
    pub(super) fn begin_to_fill_places(self: &Arc<Hub>, driver: &Arc<dyn Driver>) {
        let (hub, driver) = (Arc::clone(self), Arc::clone(driver));
        let added = self
            .registry
            .add_timeout(None, move |_| hub.fill_places(&driver));
        match added {
            Ok(timeout) => drop(self.fill.set(timeout)),
            Err(error) => tracing::error!("nobody can wait for a place: {error}"),
        }
    }

    /// Has the places filled in the next turn, if anybody waits for one.
    pub(super) fn fill_places_soon(&self, state: &State) {
        if state.admission.places.waiting() > 0 {
            self.fill_places_after(Some(Duration::ZERO));
        }
    }

    fn fill_places_after(&self, interval: Option<Duration>) {
        if let Some(timeout) = self.fill.get() {
            // It is registered as long as the loop lives.
            let _ = self.registry.update_timeout(*timeout, interval);
        }
    }

    /// Gives newcomers the places that are free, and has strangers give way for them.
    pub(super) fn fill_places(self: &Arc<Hub>, driver: &Arc<dyn Driver>) {
        for _ in 0..BUDGET {
            match self.next_step() {
                None => return,
                Some(Next::Admit(id, newcomer)) => self.add_client(id, newcomer, driver),
                Some(Next::Evict(client)) => client.give_way(self),
                Some(Next::Gone) => {}
            }
        }
        self.fill_places_after(Some(Duration::ZERO));
    }

    fn next_step(&self) -> Option<Next> {
        let now = self.registry.now();
        let state = &mut *self.state.lock();
        let Some(step) = state.admission.places.next(now) else {
            let retry = state.admission.places.retry_at(now);
            self.fill_places_after(retry.map(|at| at.since(now)));
            return None;
        };
        let next = match step {
            Step::Admit(id) => {
                let newcomer = state.waiting.remove(&id);
                newcomer.map(|newcomer| Next::Admit(id, newcomer))
            }
            Step::Evict(id) => state.clients.get(&id).cloned().map(Next::Evict),
        };
        Some(next.unwrap_or(Next::Gone))
    }

    /// Takes note that a client has got further towards showing who it is.
    pub(in crate::server) fn client_progressed(&self, id: u64, waits_for_us: bool) {
        let now = self.registry.now();
        let mut state = self.state.lock();
        state.admission.places.progressed(now, id, waits_for_us);
    }

    /// Takes note that a client has shown who it is or, where it need not, made a call.
    pub(in crate::server) fn client_settled(&self, id: u64) {
        let mut state = self.state.lock();
        state.admission.places.settled(id);
        self.fill_places_soon(&state);
    }
}

/// As configured, and no more than there are descriptors for.
pub(super) fn limits(config: &Config) -> PlaceLimits {
    let max_clients = config.max_clients.get();
    let for_clients = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| {
            usize::try_from(limit.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(usize::MAX)
        });
    let max_waiting = (config.max_queued_clients as usize).min(for_clients / 16);
    let possible = (for_clients - max_waiting).max(1);
    if possible < max_clients {
        tracing::warn!(
            "max_clients is {max_clients}, but there are descriptors for {possible} only: raise the limit of \
             open files (LimitNOFILE= of the service), or lower max_clients"
        );
    }
    PlaceLimits {
        max_clients: max_clients.min(possible),
        max_anonymous: config.max_anonymous_clients,
        max_waiting,
        patience: config.place_patience,
    }
}
