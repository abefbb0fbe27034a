//! What the services and clients of one daemon share.

mod accept;
mod places;

use super::client::Client;
use super::deadlines::Deadlines;
use super::gate::Gate;
use super::idle::Idle;
use super::jobs::{Finished, Jobs};
use super::service::{Service, Terms};
use super::{Config, DaemonError, Endpoint, TlsService};
use crate::driver::Driver;
use crate::flow::{Admission, Peer};
use crate::net::Listener;
use crate::net::tls::{TlsConfigError, TlsContext, TlsSettings, wall_clock};
use crate::session::{Limits, SessionConfig};
use crate::sync::Mutex;
use eventry::Registry;
use eventry::TimeoutId;
use eventry::{EventLoop, Stopper};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The services and clients of one daemon.
pub(super) struct Hub {
    pub(super) registry: Registry,
    stopper: Stopper,
    pub(super) gate: Arc<Gate>,
    /// Its lock is held across nothing but calls of the registry.
    pub(super) deadlines: Deadlines,
    pub(super) jobs: Jobs,
    /// The timeout by which newcomers get the places that have become free.
    fill: OnceLock<TimeoutId>,
    /// How many descriptors there were for clients at the start.
    for_clients: usize,
    /// Never held while a client's own lock is taken, nor across a call of a driver.
    state: Mutex<State>,
}

struct State {
    /// Knows the services by their places here.
    admission: Admission,
    services: Vec<Service>,
    clients: BTreeMap<u64, Arc<Client>>,
    /// Counts from 1, never repeats (DM-608).
    last_client: u64,
    in_force: InForce,
    idle: Idle,
}

/// The part of the configuration that may change while the daemon runs.
struct InForce {
    /// What the next client is told.
    session: SessionConfig,
    grace: Duration,
}

impl InForce {
    fn new(config: &Config) -> InForce {
        InForce {
            session: SessionConfig {
                limits: Arc::new(Limits {
                    auth_timeout: config.auth_timeout,
                    ..config.client_limits
                }),
                keepalive: config.keepalive,
                ..SessionConfig::default()
            },
            grace: config.shutdown_grace,
        }
    }
}

impl State {
    /// Accepts on the services on which somebody may be.
    fn settle(&mut self, registry: &Registry) {
        for (index, service) in self.services.iter_mut().enumerate() {
            service.set_accepting(registry, self.admission.is_accepting(index));
        }
    }
}

impl Hub {
    pub(super) fn new(event_loop: &EventLoop, config: &Config, gate: Gate) -> Arc<Hub> {
        let for_clients = places::descriptors_for_clients();
        Arc::new(Hub {
            registry: event_loop.registry(),
            stopper: event_loop.stopper(),
            gate: Arc::new(gate),
            deadlines: Deadlines::default(),
            jobs: Jobs::new(event_loop.registry(), config.workers),
            fill: OnceLock::new(),
            for_clients,
            state: Mutex::new(State {
                admission: Admission::new(places::limits(config, for_clients)),
                services: Vec::new(),
                clients: BTreeMap::new(),
                last_client: 0,
                in_force: InForce::new(config),
                idle: Idle::default(),
            }),
        })
    }

    /// Adds a service, on which nobody is accepted yet.
    pub(super) fn add_service(
        &self,
        listeners: Vec<Listener>,
        terms: Terms,
        tls: Option<Arc<TlsContext>>,
    ) {
        let service = Service::new(listeners, terms, tls);
        let mut state = self.state.lock();
        state.admission.add_service();
        state.services.push(service);
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let state = self.state.lock();
        state.services.iter().flat_map(Service::endpoints).collect()
    }

    /// Begins to accept: every listening socket becomes a handle for READABLE, ERROR and HANGUP (DM-501).
    /// Returns whether it did: a daemon that is being stopped accepts nobody any more.
    pub(super) fn enable_services(
        self: &Arc<Hub>,
        driver: &Arc<dyn Driver>,
    ) -> Result<bool, DaemonError> {
        let mut state = self.state.lock();
        if state.admission.is_draining() {
            return Ok(false);
        }
        let hub = Arc::clone(self);
        self.deadlines.begin(&self.registry, move |_| hub.on_time());
        self.begin_to_fill_places();
        let hub = Arc::clone(self);
        self.jobs.begin(driver.may_block(), move |finished| {
            hub.complete(finished);
        });
        for (index, service) in state.services.iter_mut().enumerate() {
            let (hub, driver) = (Arc::clone(self), Arc::clone(driver));
            let enabled = service.enable(&self.registry, move |listener, events| {
                hub.accept(index, listener, events, &driver);
            });
            enabled.map_err(|error| DaemonError::Enable(error.to_string()))?;
        }
        Ok(true)
    }

    /// Ends the daemon by `expired` when there has been no client for as long as the configuration says
    /// (DM-1307).
    pub(super) fn watch_idleness(
        &self,
        interval: Option<Duration>,
        expired: impl FnMut() + Send + 'static,
    ) {
        let mut state = self.state.lock();
        let clients = state.clients.len();
        state.idle.begin(&self.registry, interval, expired);
        state.idle.settle(&self.registry, clients);
    }

    /// Serves as `config` says from now on, as far as it can be changed. If that fails, nothing has. Keys and
    /// certificates are for clients to come (DM-1209).
    pub(super) fn apply(&self, config: &Config) -> Result<(), DaemonError> {
        // A socket that was passed is served though there is to be none of our own.
        let is_passed = self.state.lock().services.iter().any(Service::has_tls);
        let passed = config.passed_tls.as_ref().filter(|_| is_passed);
        let tls = config.tls.as_ref().or(passed).map(TlsService::settings);
        let tls = tls.as_ref().map(load_tls).transpose();
        let tls = tls.map_err(DaemonError::Tls)?;
        self.gate.apply(&config.sasl).map_err(DaemonError::Auth)?;
        self.jobs.set_workers(config.workers);
        let mut state = self.state.lock();
        if let Some(context) = &tls {
            for service in &mut state.services {
                service.renew_tls(context);
            }
        }
        state.in_force = InForce::new(config);
        state
            .admission
            .places
            .set_limits(places::limits(config, self.for_clients));
        self.fill_places_soon(&state);
        state.idle.set_interval(config.idle_timeout);
        let clients = state.clients.len();
        state.idle.settle(&self.registry, clients);
        Ok(())
    }

    /// Calls the clients whose time has come.
    fn on_time(self: &Arc<Hub>) {
        for id in self.deadlines.due(self.registry.now()) {
            let client = self.state.lock().clients.get(&id).cloned();
            if let Some(client) = client {
                client.on_time(self);
            }
        }
        self.deadlines.rearm(&self.registry);
    }

    /// Answers calls that are over; those of one client stand together.
    fn complete(self: &Arc<Hub>, finished: Vec<Finished>) {
        let mut finished = finished.into_iter().peekable();
        while let Some(id) = finished.peek().map(|call| call.client) {
            let client = self.state.lock().clients.get(&id).cloned();
            let calls = std::iter::from_fn(|| finished.next_if(|call| call.client == id));
            match client {
                Some(client) => client.complete(self, calls),
                None => calls.for_each(drop),
            }
        }
        self.stop_if_over();
    }

    /// Stops the loop if the daemon is being stopped and nobody is left to wait for.
    fn stop_if_over(&self) {
        let state = self.state.lock();
        let is_over = state.admission.is_draining() && state.clients.is_empty();
        drop(state);
        if is_over && self.jobs.are_over() {
            self.stopper.stop();
        }
    }

    /// Takes note that a client is gone: there is room for another one, or nobody is left to wait for.
    pub(super) fn client_closed(&self, id: u64, peer: Peer) {
        let mut state = self.state.lock();
        let gone = state.clients.remove(&id);
        state.admission.client_closed(id, peer);
        state.settle(&self.registry);
        self.fill_places_soon(&state);
        if state.clients.is_empty() {
            state.idle.settle(&self.registry, 0);
        }
        drop(state);
        drop(gone);
        self.stop_if_over();
    }

    /// Ends the daemon in order: nobody is accepted any more, clients read their last answers, for as long
    /// as the grace lasts. A second time, or once the grace is over, at once (DM-1302…1304).
    pub(super) fn drain(self: &Arc<Hub>) {
        let mut state = self.state.lock();
        if !state.admission.drain() {
            drop(state);
            tracing::info!("asked to stop once more; stopping at once");
            self.stop_now();
            return;
        }
        for service in &mut state.services {
            service.disable(&self.registry);
        }
        let clients: Vec<Arc<Client>> = state.clients.values().cloned().collect();
        let grace = state.in_force.grace;
        drop(state);
        if clients.is_empty() && self.jobs.are_over() {
            self.stopper.stop();
            return;
        }
        tracing::info!(clients = clients.len(), "waiting for clients to finish");
        for client in clients {
            client.finish(self);
        }
        let hub = Arc::clone(self);
        let added = self
            .registry
            .add_timeout(grace, move |_| hub.end_grace(grace));
        if added.is_err() {
            self.stop_now();
        }
    }

    /// Ends the wait for clients that have not read their last answers (DM-1303).
    fn end_grace(&self, grace: Duration) {
        let unfinished = self.state.lock().clients.len();
        tracing::warn!(unfinished, "the grace of {grace:?} is over; stopping");
        self.stop_now();
    }

    /// Ends the daemon at once. What clients have not read is lost.
    pub(super) fn stop_now(&self) {
        self.close_sockets();
        self.stopper.stop();
    }

    /// Takes the sockets' names away and stops listening.
    pub(super) fn close_sockets(&self) {
        let mut state = self.state.lock();
        state.admission.drain();
        for service in &mut state.services {
            service.disable(&self.registry);
        }
        // The connections that clients still have open go with the event loop.
        let clients = std::mem::take(&mut state.clients);
        let services = std::mem::take(&mut state.services);
        drop(state);
        drop((clients, services));
    }
}

/// Loads the keys and certificates, and logs what there is to say of them.
pub(super) fn load_tls(settings: &TlsSettings) -> Result<Arc<TlsContext>, TlsConfigError> {
    let context = TlsContext::load(settings, wall_clock)?;
    for warning in context.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(context))
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Hub")
            .field("is_draining", &state.admission.is_draining())
            .field("services", &state.services.len())
            .field("clients", &state.clients.len())
            .finish_non_exhaustive()
    }
}
