//! The operation of a daemon after its start: services are enabled, clients are drained.

use super::error::DaemonError;
use super::service::{Endpoint, Service, ServicePolicy};
use super::state::Server;
use crate::admission::AdmissionLimits;
use crate::driver::Driver;
use crate::net::Listener;
use crate::net::tls::TlsContext;
use eventry::TimeoutId;
use std::fmt::Display;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

impl Server {
    /// Adds a service without enabling it.
    pub(super) fn add_service(
        &self,
        listeners: Vec<Listener>,
        policy: ServicePolicy,
        tls: Option<Arc<TlsContext>>,
    ) {
        if let Some(context) = &tls {
            self.tls_expiry.replace(&self.registry, context);
        }
        let service = Service::new(listeners, policy, tls);
        let mut state = self.state.lock();
        state.admission.add_service();
        if service.serves_networks() {
            let clients = &mut state.admission.clients;
            clients.set_limits(AdmissionLimits {
                serves_networks: true,
                ..clients.limits()
            });
        }
        state.services.push(service);
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let state = self.state.lock();
        state.services.iter().flat_map(Service::endpoints).collect()
    }

    /// Enables the services: every listening socket becomes a handle for READABLE, ERROR and HANGUP (DM-501).
    /// Returns `false` if the daemon is stopping and accepts no more clients.
    pub(super) fn enable_services(
        self: &Arc<Server>,
        driver: &Arc<dyn Driver>,
    ) -> Result<bool, DaemonError> {
        let mut state = self.state.lock();
        if state.admission.is_draining() {
            return Ok(false);
        }
        self.add_timeouts();
        if driver.may_block() {
            self.offload.start();
        }
        for (index, service) in state.services.iter_mut().enumerate() {
            let (server, driver) = (Arc::clone(self), Arc::clone(driver));
            let enabled = service.enable(&self.registry, move |listener, events| {
                server.accept(index, listener, events, &driver);
            });
            enabled.map_err(|error| DaemonError::Enable(error.to_string()))?;
        }
        Ok(true)
    }

    /// Adds the timeouts for deadlines, admission and results.
    fn add_timeouts(self: &Arc<Server>) {
        let server = Arc::clone(self);
        let added = self
            .registry
            .add_timeout(None, move |_| server.on_deadlines());
        keep(&self.deadline_timeout, added);
        let server = Arc::clone(self);
        let added = self
            .registry
            .add_timeout(None, move |_| server.admit_waiting());
        keep(&self.admission_timeout, added);
        self.tls_expiry.begin(&self.registry);
        let server = Arc::clone(self);
        self.completions
            .begin(move |completions| server.on_completions(completions));
    }

    /// Calls `expired` after an interval without clients (DM-1307).
    pub(super) fn watch_idleness(
        &self,
        interval: Option<Duration>,
        expired: impl FnMut() + Send + 'static,
    ) {
        let mut state = self.state.lock();
        let clients = state.clients.len();
        state.idle.begin(&self.registry, interval, expired);
        state.idle.update(&self.registry, clients);
    }

    /// Stops the daemon in order, from any thread: no more clients are accepted, and clients can read their last
    /// replies during the grace period. The second call stops it at once (DM-1302 to DM-1304).
    pub(super) fn drain(self: &Arc<Server>) {
        let mut state = self.state.lock();
        if !state.admission.drain() {
            drop(state);
            tracing::info!("second request to stop; stopping at once");
            self.stop_now();
            return;
        }
        state.idle.end(&self.registry);
        for service in &mut state.services {
            service.disable(&self.registry);
        }
        let clients = state.clients.len();
        drop(state);
        if clients == 0 && self.offload.is_idle() {
            self.stopper.stop();
            return;
        }
        tracing::info!(clients, "waiting for clients to finish");
        let server = Arc::clone(self);
        let added = self.registry.add_timeout(Duration::ZERO, move |event| {
            let _ = event.registry.remove_timeout(event.id);
            server.drain_clients();
        });
        if added.is_err() {
            self.stop_now();
        }
    }

    /// Drains the connections, and starts the grace period. Runs on the loop's thread.
    fn drain_clients(self: &Arc<Server>) {
        let state = self.state.lock();
        let (clients, grace) = (state.clients.ids(), state.settings.grace);
        drop(state);
        for id in clients {
            self.drive(id, |client, now| client.connection.drain(now));
        }
        let server = Arc::clone(self);
        let added = self
            .registry
            .add_timeout(grace, move |_| server.end_grace(grace));
        if added.is_err() {
            self.stop_now();
        }
    }

    /// Stops although clients have unread replies (DM-1303).
    fn end_grace(&self, grace: Duration) {
        let unfinished = self.state.lock().clients.len();
        tracing::warn!(unfinished, "the grace of {grace:?} is over; stopping");
        self.stop_now();
    }

    /// Stops the daemon at once, from any thread. Unread replies are lost.
    pub(super) fn stop_now(&self) {
        let mut state = self.state.lock();
        state.admission.drain();
        for service in &mut state.services {
            service.disable(&self.registry);
        }
        drop(state);
        self.stopper.stop();
    }

    /// Drops all services and clients and ends all requests to polkit, after the loop has stopped.
    pub(super) fn end(&self) {
        self.stop_now();
        let mut state = self.state.lock();
        let clients = mem::take(&mut state.clients);
        let services = mem::take(&mut state.services);
        drop(state);
        drop((clients, services));
        self.authenticator.polkit().end();
        self.offload.stop();
    }
}

/// Stores the id of a timeout.
fn keep(place: &OnceLock<TimeoutId>, added: Result<TimeoutId, impl Display>) {
    match added {
        Ok(timeout) => drop(place.set(timeout)),
        Err(error) => tracing::error!("cannot serve clients: {error}"),
    }
}

/// Logs the warnings about keys and certificates.
pub(super) fn log_tls_warnings(context: &TlsContext) {
    for warning in context.warnings() {
        tracing::warn!("{warning}");
    }
}
