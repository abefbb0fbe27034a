//! The places of a daemon's clients: carries out what [`Places`](crate::flow::Places) decides.

use super::{Hub, State};
use crate::flow::{PlaceLimits, Step};
use crate::server::Config;
use crate::server::client::Client;
use rustix::process::{Resource, getrlimit};
use std::sync::Arc;
use std::time::Duration;

/// How many steps one turn takes at most, so that others get theirs.
const BUDGET: usize = 64;

/// Descriptors that are not clients': listening sockets, the log, programs that are asked.
const OWN_DESCRIPTORS: u64 = 64;

/// What to do without the lock.
enum Next {
    Admit(Arc<Client>),
    Evict(Arc<Client>),
    /// It has gone by itself.
    Gone,
}

impl Hub {
    /// Makes the timeout that gives newcomers the places that have become free.
    pub(super) fn begin_to_fill_places(self: &Arc<Hub>) {
        let hub = Arc::clone(self);
        match self.registry.add_timeout(None, move |_| hub.fill_places()) {
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
    pub(super) fn fill_places(self: &Arc<Hub>) {
        for _ in 0..BUDGET {
            match self.next_step() {
                None => return,
                Some(Next::Admit(client)) => client.take_place(self),
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
        let (id, what): (_, fn(_) -> _) = match step {
            Step::Admit(id) => (id, Next::Admit),
            Step::Evict(id) => (id, Next::Evict),
        };
        let next = state.clients.get(&id).cloned().map(what);
        Some(next.unwrap_or(Next::Gone))
    }

    /// Takes note that a client that waits for a place has said something.
    pub(in crate::server) fn newcomer_spoke(&self, id: u64) {
        let now = self.registry.now();
        let mut state = self.state.lock();
        state.admission.places.spoke(now, id);
        self.fill_places_soon(&state);
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

/// How many descriptors there are for clients.
pub(super) fn descriptors_for_clients() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(usize::MAX)
}

/// As configured, and no more than there are descriptors for.
pub(super) fn limits(config: &Config, for_clients: usize) -> PlaceLimits {
    let max_clients = config.max_clients.get();
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
