//! The state that all callbacks of the daemon share.

use super::authenticator::Authenticator;
use super::client_table::{ClientCounts, Clients};
use super::completions::CompletionQueue;
use super::config::Config;
use super::deadline_queue::DeadlineQueue;
use super::idle::Idle;
use super::limits::{admission_limits, own_descriptors_for_clients};
use super::offload::Offload;
use super::service::Service;
use super::tls_expiry::TlsExpiry;
use crate::admission::{Admission, Peer};
use crate::session::{ClientLimits, SessionConfig};
use crate::sync::Mutex;
use eventry::{EventLoop, MonotonicTime, Registry, Stopper, TimeoutId};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The services and clients of one daemon.
pub(super) struct Server {
    pub(super) registry: Registry,
    pub(super) stopper: Stopper,
    pub(super) authenticator: Authenticator,
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) offload: Offload,
    pub(super) tls_expiry: Arc<TlsExpiry>,
    /// Fires at the first deadline of a client.
    pub(super) deadline_timeout: OnceLock<TimeoutId>,
    /// Fires when waiting clients may be admitted.
    pub(super) admission_timeout: OnceLock<TimeoutId>,
    /// The number of descriptors for clients at the start.
    pub(super) descriptors: usize,
    /// Not locked during a call of a hypervisor. Calls of the registry are permitted: it runs no callback.
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// The index of a service is its index in `services`.
    pub(super) admission: Admission,
    pub(super) services: Vec<Service>,
    pub(super) clients: Clients,
    pub(super) deadlines: DeadlineQueue,
    /// The id of the last client: ids begin at 1 and do not repeat (DM-608).
    pub(super) last_client: u64,
    pub(super) settings: ServerSettings,
    pub(super) idle: Idle,
}

/// The part of the configuration that may change while the daemon runs.
#[derive(Debug)]
pub(super) struct ServerSettings {
    /// The configuration of new clients.
    pub(super) session: SessionConfig,
    pub(super) grace: Duration,
}

impl ServerSettings {
    pub(super) fn new(config: &Config) -> ServerSettings {
        ServerSettings {
            session: SessionConfig {
                limits: Arc::new(ClientLimits {
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
    /// Watches the listening sockets of the services that accept.
    pub(super) fn update_accepting(&mut self, registry: &Registry) {
        for (index, service) in self.services.iter_mut().enumerate() {
            service.set_accepting(registry, self.admission.is_accepting(index));
        }
    }
}

impl Server {
    pub(super) fn new(
        event_loop: &EventLoop,
        config: &Config,
        authenticator: Authenticator,
    ) -> Arc<Server> {
        let registry = event_loop.registry();
        let descriptors = own_descriptors_for_clients();
        let completions = Arc::new(CompletionQueue::new(registry.clone()));
        let offload = Offload::new(registry.clone(), config.workers, Arc::clone(&completions));
        Arc::new(Server {
            registry,
            stopper: event_loop.stopper(),
            authenticator,
            completions,
            offload,
            tls_expiry: TlsExpiry::new(config.wall_clock),
            deadline_timeout: OnceLock::new(),
            admission_timeout: OnceLock::new(),
            descriptors,
            state: Mutex::new(State {
                admission: Admission::new(admission_limits(config, descriptors, false)),
                services: Vec::new(),
                clients: Clients::default(),
                deadlines: DeadlineQueue::default(),
                last_client: 0,
                settings: ServerSettings::new(config),
                idle: Idle::default(),
            }),
        })
    }

    pub(super) fn client_counts(&self) -> ClientCounts {
        let clients = &self.state.lock().admission.clients;
        ClientCounts {
            served: clients.served(),
            most_served: clients.most_served(),
            waiting: clients.waiting(),
        }
    }

    /// Schedules the admission of waiting clients for the next turn, if there are any.
    pub(super) fn admit_soon(&self, state: &State) {
        if state.admission.clients.waiting() > 0 {
            self.admit_after(Some(Duration::ZERO));
        }
    }

    /// Schedules the admission of waiting clients after `interval`.
    pub(super) fn admit_after(&self, interval: Option<Duration>) {
        if let Some(timeout) = self.admission_timeout.get() {
            // The timeout is registered until the loop is dropped.
            let _ = self.registry.update_timeout(*timeout, interval);
        }
    }

    /// Sets the timeout for the deadlines of clients.
    pub(super) fn set_deadline_timeout(&self, at: Option<MonotonicTime>) {
        if let Some(timeout) = self.deadline_timeout.get() {
            let interval = at.map(|at| at.saturating_duration_since(self.registry.now()));
            if let Err(error) = self.registry.update_timeout(*timeout, interval) {
                tracing::error!("cannot set the timeout of clients: {error}");
            }
        }
    }

    /// Releases the slot and the descriptor of a closed client.
    pub(super) fn release_client(&self, id: u64, peer: Peer, scheduled: Option<MonotonicTime>) {
        let mut state = self.state.lock();
        state.clients.remove(id);
        state.deadlines.forget(id, scheduled);
        state.admission.client_closed(id, peer);
        state.update_accepting(&self.registry);
        self.admit_soon(&state);
        if state.clients.is_empty() {
            state.idle.update(&self.registry, 0);
        }
        drop(state);
        self.stop_if_over();
    }

    /// Stops the loop if the daemon is draining and neither a client nor a call is left.
    pub(super) fn stop_if_over(&self) {
        let state = self.state.lock();
        let is_over = state.admission.is_draining() && state.clients.is_empty();
        drop(state);
        if is_over && self.offload.is_idle() {
            self.stopper.stop();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let tls: Vec<_> = state.services.iter().map(Service::tls_address).collect();
        f.debug_struct("Server")
            .field("is_draining", &state.admission.is_draining())
            .field("services", &state.services)
            .field("tls", &tls)
            .field("clients", &state.clients.len())
            .field("settings", &state.settings)
            .field("limits", &state.admission.clients.limits())
            .field("idle", &state.idle)
            .field("offload", &self.offload)
            .field("authenticator", &self.authenticator)
            .finish_non_exhaustive()
    }
}
