//! Accepting: connections become clients, which are served at once or when there is a place for them.

use super::{Hub, State};
use crate::auth::Identity;
use crate::driver::Driver;
use crate::flow::{ACCEPT_BUDGET, Newcomer, Peer, Verdict};
use crate::net::tls::TlsConfigError;
use crate::net::{Channel, Listener, Socket};
use crate::server::client::Client;
use crate::server::service::Terms;
use crate::session::{Auth, SessionConfig};
use eventry::Events;
use std::io;
use std::sync::Arc;
use std::time::Duration;

impl Hub {
    /// Accepts who waits on the service `index`.
    pub(super) fn accept(
        self: &Arc<Hub>,
        index: usize,
        listener: &Listener,
        events: Events,
        driver: &Arc<dyn Driver>,
    ) {
        if events.intersects(Events::UNCONDITIONAL) {
            tracing::error!("{} is broken; closing its service", listener.address());
            self.state.lock().services[index].disable(&self.registry);
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

    /// Makes a client of a connection; it is served at once, or when there is a place for it.
    fn arrive(self: &Arc<Hub>, index: usize, socket: Socket, driver: &Arc<dyn Driver>) {
        let Some((Terms { access, auth }, channel)) = self.terms_of(index) else {
            return;
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(error) => {
                tracing::error!("cannot serve a client: {error}");
                return;
            }
        };
        let entry = self.gate.enter(&socket, auth);
        let process = entry.identity.process.as_ref();
        let peer_is_root = process.is_some_and(|process| process.uid == 0);
        let peer = peer_of(&socket, &entry.identity);
        let awaits_handshake = !channel.is_open();
        let anonymous = auth != Auth::None || awaits_handshake;
        let now = self.registry.now();
        let (client, verdict) = {
            let state = &mut *self.state.lock();
            let session = SessionConfig {
                access,
                auth,
                peer_is_root,
                awaits_handshake,
                accepted: now,
                ..state.in_force.session.clone()
            };
            state.last_client += 1;
            let id = state.last_client;
            let newcomer = Newcomer { peer, anonymous };
            let verdict = state.admission.arrive(now, index, id, newcomer);
            if verdict == Verdict::Refuse(id) {
                drop(self.turn_away(index, state, id));
                return;
            }
            let has_place = verdict == Verdict::Admit;
            let connection = (socket, channel, peer);
            let driver = Arc::clone(driver);
            let client = Client::new(id, connection, (session, entry), driver, has_place);
            let client = Arc::new(client);
            state.clients.insert(id, Arc::clone(&client));
            if state.clients.len() == 1 {
                state.idle.settle(&self.registry, 1);
            }
            (client, verdict)
        };
        if let Err(error) = client.enable(self) {
            tracing::error!("cannot watch a client: {error}");
            client.give_up(self);
        }
        if let Verdict::Refuse(other) = verdict {
            let other = self.turn_away(index, &mut self.state.lock(), other);
            if let Some(other) = other {
                other.turn_away(self);
            }
        }
    }

    /// What a service asks of its clients, and how their bytes travel. The services are gone once the daemon
    /// has stopped.
    fn terms_of(&self, index: usize) -> Option<(Terms, Result<Channel, TlsConfigError>)> {
        let state = self.state.lock();
        let service = state.services.get(index)?;
        Some((service.terms(), service.channel()))
    }

    /// Takes note that too many wait for a place: the service rests for a moment. Returns who is to go, if it
    /// is a client already.
    fn turn_away(self: &Arc<Hub>, index: usize, state: &mut State, id: u64) -> Option<Arc<Client>> {
        if !state.admission.is_draining() {
            let waiting = state.admission.places.waiting();
            tracing::warn!(
                "client {id} closed: {waiting} wait for a place already, most of them its peer's"
            );
            let pause = state.admission.turned_away(index);
            self.rest(index, state, pause);
        }
        state.clients.get(&id).cloned()
    }

    /// Lets the service rest when a connection cannot be accepted: it would be reported as ready again at
    /// once, and again in vain (DM-503, DM-505).
    fn back_off(self: &Arc<Hub>, index: usize, listener: &Listener, error: &io::Error) {
        let mut state = self.state.lock();
        let pause = state.admission.accept_failed(index);
        tracing::warn!(
            "cannot accept on {}: {error}; trying again in {pause:?}",
            listener.address()
        );
        self.rest(index, &mut state, pause);
    }

    /// Has the service accept again after `pause`.
    fn rest(self: &Arc<Hub>, index: usize, state: &mut State, pause: Duration) {
        state.settle(&self.registry);
        let hub = Arc::clone(self);
        let added = self.registry.add_timeout(pause, move |event| {
            // It is called once; it can only be registered while it is called.
            let _ = event.registry.remove_timeout(event.id);
            let state = &mut *hub.state.lock();
            state.admission.retry(index);
            state.settle(&hub.registry);
        });
        match added {
            Ok(timeout) => state.services[index].retry_by(&self.registry, timeout),
            Err(error) => tracing::error!("{error}"),
        }
    }
}

/// Who a client counts as.
fn peer_of(socket: &Socket, identity: &Identity) -> Peer {
    match (socket, identity.address.as_deref()) {
        (Socket::Unix(_), _) => Peer::User(identity.process.as_ref().map(|process| process.uid)),
        (Socket::Tcp(_), Some(address)) => Peer::at(address.ip()),
        (Socket::Tcp(_), None) => Peer::Nowhere,
    }
}
