//! A naive model of the admission of clients.

use eventry::MonotonicTime;
use eventryd::admission::{
    AdmissionLimit, AdmissionLimits, AdmissionStep, Peer, PendingClient, Scope,
};

/// All clients in one list, and the rules applied to it literally.
pub(crate) struct Oracle {
    pub(crate) limits: AdmissionLimits,
    pub(crate) clients: Vec<Client>,
    pub(crate) waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) pending: PendingClient,
    pub(crate) is_unidentified: bool,
    pub(crate) has_spoken: bool,
    /// The time of the last progress; `None` while the client waits for the daemon.
    pub(crate) since: Option<MonotonicTime>,
    /// The client has one of the slots that are reserved for peers with few.
    pub(crate) is_reserved: bool,
    /// The client has ended, and waits for its peer to close.
    pub(crate) has_ended: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) pending: PendingClient,
    /// The time of the arrival, or of the first bytes.
    pub(crate) since: MonotonicTime,
    pub(crate) speaks: bool,
}

/// A kind of slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Anonymous(Scope),
}

impl Oracle {
    fn of(&self, kind: Kind) -> Vec<Client> {
        let counts = |client: &Client| match kind {
            Kind::All => true,
            Kind::Anonymous(scope) => {
                let PendingClient { peer, anonymous } = client.pending;
                anonymous && client.is_unidentified && peer.scope() == scope
            }
        };
        self.clients.iter().copied().filter(counts).collect()
    }

    fn count(&self, kind: Kind, peer: Peer) -> usize {
        let of_peer = |client: &Client| client.pending.peer == peer;
        self.of(kind)
            .iter()
            .filter(|client| of_peer(client))
            .count()
    }

    fn evicted(&self, kind: Kind, now: MonotonicTime, peer: Peer, has_waited: bool) -> Option<u64> {
        let own = self.count(kind, peer);
        let is_quiet = |client: &Client| {
            let grace = self.limits.eviction_grace / if client.has_spoken { 1 } else { 2 };
            client
                .since
                .is_some_and(|since| since.saturating_add(grace) <= now)
        };
        let is_evictable = |client: &Client| {
            let held = self.count(kind, client.pending.peer);
            let is_eligible = client.pending.peer == peer || held > own;
            client.is_unidentified
                && is_eligible
                && (is_quiet(client) || (has_waited && held >= own + 2))
        };
        let candidates = self.of(kind).into_iter().filter(is_evictable);
        // Clients of the peer with the most slots first; of those, silent ones, then the longest without progress.
        let order = |client: &Client| {
            let held = self.count(kind, client.pending.peer);
            let heaviest = std::cmp::Reverse((held, client.pending.peer));
            let since = client.since.unwrap_or(MonotonicTime::FAR_FUTURE);
            (heaviest, client.has_spoken, since, client.id)
        };
        candidates.min_by_key(order).map(|client| client.id)
    }

    /// Returns `None` for no admission, `Some(None)` for an admission at once, otherwise the eviction that must
    /// precede it.
    fn grant(&self, now: MonotonicTime, waiting: Waiting) -> Option<Option<AdmissionStep>> {
        let PendingClient { peer, anonymous } = waiting.pending;
        let speaks = waiting.speaks;
        let has_waited = waiting.since.saturating_add(self.limits.eviction_grace) <= now;
        let evicted = |kind| {
            let evicted = self.evicted(kind, now, peer, has_waited);
            let limit = match kind {
                Kind::All => AdmissionLimit::Clients(self.limits.max_clients),
                Kind::Anonymous(_) => AdmissionLimit::Anonymous(self.limits.max_anonymous),
            };
            let evicted = evicted.filter(|_| speaks);
            evicted.map(|id| AdmissionStep::Evict { id, limit })
        };
        let unknown = Kind::Anonymous(peer.scope());
        let limit = self.limits.max_anonymous;
        let is_excess = anonymous && limit != 0 && self.of(unknown).len() >= limit;
        if !self.has_slot(peer, speaks, usize::from(is_excess)) {
            let ended = self.clients.iter().filter(|client| client.has_ended);
            let released = usize::from(is_excess) + ended.clone().count();
            let first_ended = ended.map(|client| client.id).min();
            let first_ended =
                first_ended.filter(|_| speaks && self.has_slot(peer, speaks, released));
            if let Some(id) = first_ended {
                let limit = AdmissionLimit::Clients(self.limits.max_clients);
                return Some(Some(AdmissionStep::Evict { id, limit }));
            }
            return evicted(Kind::All).map(Some);
        }
        if is_excess {
            return evicted(unknown).map(Some);
        }
        Some(None)
    }

    /// Adds a client; returns `true` if it is admitted.
    pub(crate) fn arrive(&mut self, now: MonotonicTime, id: u64, pending: PendingClient) -> bool {
        let is_like = |waiting: &Waiting| {
            waiting.pending.anonymous == pending.anonymous
                && waiting.pending.peer.scope() == pending.peer.scope()
        };
        let waiting = Waiting {
            id,
            pending,
            since: now,
            speaks: false,
        };
        let queue_is_empty = !self.waiting.iter().any(is_like);
        let admitted = queue_is_empty && self.grant(now, waiting) == Some(None);
        if admitted {
            self.admit(waiting);
        } else {
            self.waiting.push(waiting);
        }
        admitted
    }

    fn admit(&mut self, waiting: Waiting) {
        self.clients.push(Client {
            id: waiting.id,
            pending: waiting.pending,
            is_unidentified: true,
            has_spoken: waiting.speaks,
            since: Some(waiting.since),
            is_reserved: self.clients.len() >= self.unreserved(),
            has_ended: false,
        });
    }

    /// Returns the number of slots that are reserved in a scope.
    fn reserved(&self, scope: Scope) -> usize {
        let max = self.limits.max_clients;
        match scope {
            _ if max < 8 => 0,
            Scope::Network if !self.limits.serves_networks => 0,
            _ => (max / 32).max(1),
        }
    }

    fn unreserved(&self) -> usize {
        let reserved = self.reserved(Scope::Local) + self.reserved(Scope::Network);
        self.limits.max_clients - reserved
    }

    /// Removes a client. One with a reserved slot, of the same scope if there is any, moves to a free unreserved one.
    pub(crate) fn remove(&mut self, id: u64) -> Client {
        let at = self.clients.iter().position(|client| client.id == id);
        let client = self.clients.remove(at.unwrap());
        self.fill_unreserved(client.pending.peer.scope());
        client
    }

    pub(crate) fn fill_unreserved(&mut self, first: Scope) {
        while self
            .clients
            .iter()
            .filter(|client| !client.is_reserved)
            .count()
            < self.unreserved()
        {
            let order = |client: &&mut Client| (client.pending.peer.scope() != first, client.id);
            let reserved = self.clients.iter_mut().filter(|client| client.is_reserved);
            match reserved.min_by_key(order) {
                Some(client) => client.is_reserved = false,
                None => return,
            }
        }
    }

    /// Tests if a client may have one of the slots after `released` clients of its scope have gone.
    fn has_slot(&self, peer: Peer, speaks: bool, released: usize) -> bool {
        let left = self.clients.len().saturating_sub(released);
        if left < self.unreserved() {
            return true;
        }
        let scope = peer.scope();
        let is_held = |client: &&Client| client.is_reserved && client.pending.peer.scope() == scope;
        let held = self.clients.iter().filter(is_held).count();
        let free = self
            .reserved(scope)
            .saturating_sub(held.saturating_sub(released));
        let own = self.count(Kind::All, peer);
        let peers = self.clients.iter().map(|client| client.pending.peer);
        let most = peers.map(|peer| self.count(Kind::All, peer)).max();
        let is_small = own == 0 || (own < 4 * free && 2 * (own + 1) <= most.unwrap_or(0));
        speaks && left < self.limits.max_clients && free > 0 && is_small
    }

    pub(crate) fn next(&mut self, now: MonotonicTime) -> Option<AdmissionStep> {
        let queues = [true, false].into_iter().flat_map(|speaks| {
            [Scope::Local, Scope::Network]
                .into_iter()
                .flat_map(move |scope| [true, false].map(|anonymous| (speaks, scope, anonymous)))
        });
        for (speaks, scope, anonymous) in queues {
            let kind = if anonymous {
                Kind::Anonymous(scope)
            } else {
                Kind::All
            };
            let like = |waiting: &&Waiting| {
                let PendingClient {
                    peer,
                    anonymous: is,
                } = waiting.pending;
                is == anonymous && peer.scope() == scope && waiting.speaks == speaks
            };
            let queue: Vec<&Waiting> = self.waiting.iter().filter(like).collect();
            // The first client of each peer, in the order of arrival or of the first bytes.
            let first_of_peers = queue.iter().filter(|one| {
                let of_peer = |other: &&&Waiting| other.pending.peer == one.pending.peer;
                queue
                    .iter()
                    .find(of_peer)
                    .is_some_and(|first| first.id == one.id)
            });
            // The peer with the fewest slots of this kind, and the one with the fewest of any kind.
            let first_by = |kind| {
                let order =
                    |one: &&&Waiting| (self.count(kind, one.pending.peer), one.since, one.id);
                first_of_peers.clone().min_by_key(order).map(|one| **one)
            };
            let candidates = [first_by(kind), first_by(Kind::All)];
            let granted = candidates
                .into_iter()
                .flatten()
                .find_map(|first| Some((first, self.grant(now, first)?)));
            let Some((first, granted)) = granted else {
                continue;
            };
            match granted {
                None => {
                    self.waiting.retain(|waiting| waiting.id != first.id);
                    let since = if speaks { now } else { first.since };
                    self.admit(Waiting { since, ..first });
                    return Some(AdmissionStep::Admit(first.id));
                }
                Some(step) => {
                    let AdmissionStep::Evict { id, .. } = step else {
                        unreachable!("a grant admits no other client");
                    };
                    self.remove(id);
                    return Some(step);
                }
            }
        }
        None
    }
}
