//! Acceptance of connections. A new client is served at once or waits for a slot.

use super::client_table::Client;
use super::handle_call::CallHandler;
use super::service::ServicePolicy;
use super::state::{Server, State};
use crate::admission::{ACCEPT_BUDGET, AdmissionDecision, Peer, PendingClient};
use crate::auth::Identity;
use crate::connection::{Connection, SocketTransport};
use crate::driver::Driver;
use crate::net::tls::{TlsConfigError, TlsSession};
use crate::net::{Listener, Socket};
use crate::session::{Auth, SessionConfig};
use eventry::poller::OsSource;
use eventry::table::Refused;
use eventry::{Events, HandleId};
use std::io;
use std::sync::Arc;
use std::time::Duration;

impl Server {
    /// Accepts connections on a listening socket of the service `index`.
    pub(super) fn accept(
        self: &Arc<Server>,
        index: usize,
        listener: &Listener,
        events: Events,
        driver: &Arc<dyn Driver>,
    ) {
        if events.intersects(Events::UNCONDITIONAL) {
            tracing::error!("{} is broken; closing its service", listener.address());
            if let Some(service) = self.state.lock().services.get_mut(index) {
                service.disable(&self.registry);
            }
            return;
        }
        for _ in 0..ACCEPT_BUDGET {
            match listener.accept() {
                Ok(Some(socket)) => self.arrive(index, socket, driver),
                Ok(None) => return,
                Err(error) => {
                    self.back_off(index, listener, &error);
                    return;
                }
            }
        }
    }

    /// Creates the client of a connection.
    fn arrive(self: &Arc<Server>, index: usize, socket: Socket, driver: &Arc<dyn Driver>) {
        let Some((ServicePolicy { access, auth }, tls)) = self.policy_of(index) else {
            return;
        };
        let tls = match tls {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!("cannot serve a client: {error}");
                return;
            }
        };
        let client_auth = self.authenticator.identify(&socket, auth);
        let process = client_auth.identity.process.as_ref();
        let peer_is_root = process.is_some_and(|process| process.uid == 0);
        let peer = peer_of(&socket, &client_auth.identity);
        let awaits_handshake = tls.is_some();
        let anonymous = auth != Auth::None || awaits_handshake;
        let now = self.registry.now();
        let mut state = self.state.lock();
        let config = SessionConfig {
            access,
            auth,
            peer_is_root,
            awaits_handshake,
            accepted: now,
            ..state.settings.session.clone()
        };
        state.last_client += 1;
        let id = state.last_client;
        let pending = PendingClient { peer, anonymous };
        let decision = state.admission.arrive(now, index, id, pending);
        if decision == AdmissionDecision::Reject(id) {
            return self.client_rejected(index, &mut state, id, Some(&client_auth.identity));
        }
        drop(state);
        let admitted = decision == AdmissionDecision::Admit;
        let socket = Arc::new(socket);
        let transport = SocketTransport::new(Arc::clone(&socket), tls);
        let connection = Connection::new(transport, config, client_auth, admitted);
        let calls = CallHandler::new(Arc::clone(driver));
        let interest = connection.watch().interest;
        match self.register(id, &socket, interest) {
            Ok(handle) => {
                let client = Client {
                    id,
                    peer,
                    connection,
                    calls,
                    handle,
                    registered_interest: interest,
                    scheduled: None,
                    refusal_logged: false,
                };
                self.add(Box::new(client));
                // A client may be rejected in this turn, before its first event.
                if !admitted && socket.has_input() {
                    self.on_ready(id, Events::READABLE);
                }
            }
            Err(error) => {
                tracing::error!("client {id}: cannot watch its socket: {error}");
                self.release_client(id, peer, None);
            }
        }
        if let AdmissionDecision::Reject(other) = decision {
            self.reject(index, other);
        }
    }

    /// Adds the socket of a client to the loop.
    fn register(
        self: &Arc<Server>,
        id: u64,
        socket: &Arc<Socket>,
        interest: Events,
    ) -> Result<HandleId, Refused> {
        let server = Arc::clone(self);
        let source = OsSource::shared(Arc::clone(socket));
        let added = self.registry.add_source(source, interest, move |event| {
            server.on_ready(id, event.events);
        });
        added.map_err(|error| error.reason)
    }

    /// Puts a new client into the table, with its first deadline.
    fn add(&self, client: Box<Client>) {
        tracing::debug!("client {} connected: {}", client.id, client.identity());
        let mut state = self.state.lock();
        state.clients.insert_driven(client.id);
        if state.clients.len() == 1 {
            state.idle.update(&self.registry, 1);
        }
        drop(state);
        self.put_back(client);
    }

    fn on_ready(&self, id: u64, events: Events) {
        self.drive(id, |client, now| client.connection.on_ready(events, now));
    }

    /// Returns the policy of a service, and the TLS session of a new client if the service has TLS. There are no
    /// services after the daemon has stopped.
    fn policy_of(
        &self,
        index: usize,
    ) -> Option<(ServicePolicy, Result<Option<TlsSession>, TlsConfigError>)> {
        let state = self.state.lock();
        let service = state.services.get(index)?;
        Some((service.policy(), service.new_tls_session()))
    }

    /// Closes a client that waited for a slot, because too many clients wait.
    fn reject(self: &Arc<Server>, index: usize, id: u64) {
        let mut state = self.state.lock();
        let rejected = state.clients.take(id);
        let identity = rejected.as_ref().map(|client| client.identity());
        self.client_rejected(index, &mut state, id, identity);
        drop(state);
        if let Some(client) = rejected {
            self.close(client);
        }
    }

    /// Logs a rejection, and suspends the service briefly.
    fn client_rejected(
        self: &Arc<Server>,
        index: usize,
        state: &mut State,
        id: u64,
        identity: Option<&Identity>,
    ) {
        if !state.admission.is_draining() {
            let waiting = state.admission.clients.waiting();
            let identity = identity.map(|identity| format!("; {identity}"));
            let identity = identity.unwrap_or_default();
            tracing::warn!(
                "client {id} rejected: {waiting} clients wait already (max_queued_clients), most of them of its \
                 peer{identity}"
            );
            let pause = state.admission.client_rejected(index);
            self.suspend(index, state, pause);
        }
    }

    /// Suspends the service after a failure to accept (DM-503, DM-505).
    fn back_off(self: &Arc<Server>, index: usize, listener: &Listener, error: &io::Error) {
        let mut state = self.state.lock();
        let pause = state.admission.accept_failed(index);
        tracing::warn!(
            "cannot accept on {}: {error}; trying again in {pause:?}",
            listener.address()
        );
        self.suspend(index, &mut state, pause);
    }

    /// Resumes the service after `pause`.
    fn suspend(self: &Arc<Server>, index: usize, state: &mut State, pause: Duration) {
        state.update_accepting(&self.registry);
        let server = Arc::clone(self);
        let added = self.registry.add_timeout(pause, move |event| {
            // The timeout fires once. It is registered during its call.
            let _ = event.registry.remove_timeout(event.id);
            let state = &mut *server.state.lock();
            state.admission.resume(index);
            state.update_accepting(&server.registry);
        });
        match added {
            Ok(timeout) => {
                if let Some(service) = state.services.get_mut(index) {
                    service.resume_by(&self.registry, timeout);
                }
            }
            Err(error) => tracing::error!("cannot resume service {index}: {error}"),
        }
    }
}

/// Returns the peer in whose load a client is counted.
fn peer_of(socket: &Socket, identity: &Identity) -> Peer {
    match (socket, identity.address.as_deref()) {
        (Socket::Unix(_), _) => Peer::User(identity.process.as_ref().map(|process| process.uid)),
        (Socket::Tcp(_), Some(address)) => Peer::at(address.ip()),
        (Socket::Tcp(_), None) => Peer::Unknown,
    }
}
