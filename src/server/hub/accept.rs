//! Accepting: connections become clients, at once or when there is a place for them.

use super::places::Newcomer;
use super::{Hub, State};
use crate::driver::Driver;
use crate::events::Events;
use crate::flow::ACCEPT_BUDGET;
use crate::net::{Listener, Socket};
use crate::server::client::Client;
use crate::server::service::Terms;
use crate::session::SessionConfig;
use std::io;
use std::sync::Arc;

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

    /// Makes a client of a connection, or has it wait for a place.
    fn arrive(self: &Arc<Hub>, index: usize, socket: Socket, driver: &Arc<dyn Driver>) {
        let newcomer = Newcomer { index, socket };
        let (id, admitted) = {
            let state = &mut *self.state.lock();
            // The services are gone once the daemon has stopped.
            let Some(service) = state.services.get(index) else {
                return;
            };
            let anonymous = service.makes_anonymous();
            state.last_client += 1;
            let id = state.last_client;
            (
                id,
                state.arrive(self.registry.now(), id, newcomer, anonymous),
            )
        };
        match admitted {
            Some(newcomer) => self.add_client(id, newcomer, driver),
            // Somebody may have to give way.
            None => self.fill_places(driver),
        }
    }

    pub(super) fn add_client(
        self: &Arc<Hub>,
        id: u64,
        newcomer: Newcomer,
        driver: &Arc<dyn Driver>,
    ) {
        let peer = newcomer.peer();
        let Newcomer { index, socket } = newcomer;
        let served_by = |state: &State| {
            let service = state.services.get(index)?;
            Some((service.terms(), service.channel()))
        };
        let Some((Terms { access, auth }, channel)) = served_by(&self.state.lock()) else {
            return;
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(error) => {
                tracing::error!("cannot serve a client: {error}");
                self.client_closed(id, peer);
                return;
            }
        };
        let entry = self.gate.enter(&socket, auth);
        let process = entry.identity.process.as_ref();
        let peer_is_root = process.is_some_and(|process| process.uid == 0);
        let client = {
            let mut state = self.state.lock();
            if state.admission.is_draining() {
                return;
            }
            let session = SessionConfig {
                access,
                auth,
                peer_is_root,
                awaits_handshake: !channel.is_open(),
                accepted: self.registry.now(),
                ..state.in_force.session.clone()
            };
            let driver = Arc::clone(driver);
            let connection = (socket, channel);
            let client = Client::new(id, connection, peer, (session, entry), driver);
            let client = Arc::new(client);
            state.clients.insert(id, Arc::clone(&client));
            if state.clients.len() == 1 {
                state.idle.settle(&self.registry, 1);
            }
            client
        };
        if let Err(error) = client.enable(self) {
            tracing::error!("cannot watch client {id}: {error}");
            client.give_up(self);
        }
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
        state.settle(&self.registry);
        let hub = Arc::clone(self);
        let added = self.registry.add_timeout(pause, move |event| {
            // It is called once; it can only be registered while it is called.
            let _ = event.registry.remove_timeout(event.id);
            let mut state = hub.state.lock();
            state.admission.retry(index);
            state.settle(&hub.registry);
        });
        match added {
            Ok(timeout) => state.services[index].retry_by(&self.registry, timeout),
            Err(error) => tracing::error!("{error}"),
        }
    }
}
