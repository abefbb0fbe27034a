//! The clients of the daemon, by id.

use super::handle_call::CallHandler;
use crate::admission::Peer;
use crate::auth::Identity;
use crate::connection::{Connection, SocketTransport};
use eventry::{Events, HandleId, MonotonicTime};
use std::collections::BTreeMap;
use std::mem;

/// A client: its connection, its calls, and its registrations with the loop.
pub(super) struct Client {
    pub(super) id: u64,
    /// The peer in whose load the client is counted.
    pub(super) peer: Peer,
    pub(super) connection: Connection<SocketTransport>,
    pub(super) calls: CallHandler,
    pub(super) handle: HandleId,
    /// The interest that is registered with the loop.
    pub(super) registered_interest: Events,
    /// The entry in the queue of deadlines.
    pub(super) scheduled: Option<MonotonicTime>,
    /// Set after a refused call was logged at the level info.
    pub(super) refusal_logged: bool,
}

/// The numbers of clients of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCounts {
    /// Clients with a slot. Never more than `max_clients`, unless that was lowered.
    pub served: usize,
    /// The largest number of clients that had a slot at the same time.
    pub most_served: usize,
    /// Accepted clients that wait for a slot.
    pub waiting: usize,
}

/// The table of clients.
#[derive(Default)]
pub(super) struct Clients {
    slots: BTreeMap<u64, Slot>,
}

enum Slot {
    /// Boxed, so that a client moves in and out of the table as one pointer.
    Idle(Box<Client>),
    /// The loop's thread has taken the client out, so that no lock is held during a hypervisor call.
    Driven,
}

impl Client {
    pub(super) fn identity(&self) -> &Identity {
        &self.connection.auth().identity
    }
}

impl Clients {
    /// Adds the slot of a new client, which is then [put into it](Self::put_back).
    pub(super) fn insert_driven(&mut self, id: u64) {
        self.slots.insert(id, Slot::Driven);
    }

    /// Takes a client out of its slot, which stays reserved. Returns `None` if the client is closed or already
    /// taken out.
    pub(super) fn take(&mut self, id: u64) -> Option<Box<Client>> {
        match mem::replace(self.slots.get_mut(&id)?, Slot::Driven) {
            Slot::Idle(client) => Some(client),
            Slot::Driven => None,
        }
    }

    /// Puts a client back into its slot. Returns the client if the slot no longer exists, because the daemon has
    /// stopped.
    pub(super) fn put_back(&mut self, client: Box<Client>) -> Option<Box<Client>> {
        match self.slots.get_mut(&client.id) {
            Some(slot) => {
                *slot = Slot::Idle(client);
                None
            }
            None => Some(client),
        }
    }

    /// Returns the identity of a client, unless it is closed or taken out.
    pub(super) fn identity_of(&self, id: u64) -> Option<Identity> {
        match self.slots.get(&id)? {
            Slot::Idle(client) => Some(client.identity().clone()),
            Slot::Driven => None,
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.slots.remove(&id);
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.slots.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
