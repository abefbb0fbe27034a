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

    /// Returns `None` for no admission, `Some(None)` for an admission at once, otherwise the eviction that must precede it.
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
        if anonymous && limit != 0 && self.of(unknown).len() >= limit {
            return evicted(unknown).map(Some);
        }
        let max = self.limits.max_clients;
        if self.clients.len() < max {
            return Some(None);
        }
        if let Some(evicted) = evicted(Kind::All) {
            return Some(Some(evicted));
        }
        let for_networks = (max / 32).max(1);
        let beyond = match peer.scope() {
            Scope::Local => 2 * for_networks,
            Scope::Network => for_networks,
        };
        let own = self.count(Kind::All, peer);
        let peers = self.clients.iter().map(|client| client.pending.peer);
        let most = peers
            .map(|peer| self.count(Kind::All, peer))
            .max()
            .unwrap_or(0);
        let free = (max + beyond).saturating_sub(self.clients.len());
        let is_small = own == 0 || (own < 4 * free && 2 * (own + 1) <= most);
        (speaks && free > 0 && is_small).then_some(None)
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
        });
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
            let order = |one: &&&Waiting| (self.count(kind, one.pending.peer), one.since, one.id);
            let Some(&&first) = first_of_peers.min_by_key(order) else {
                continue;
            };
            match self.grant(now, first) {
                None => {}
                Some(None) => {
                    self.waiting.retain(|waiting| waiting.id != first.id);
                    let since = if speaks { now } else { first.since };
                    self.admit(Waiting { since, ..first });
                    return Some(AdmissionStep::Admit(first.id));
                }
                Some(Some(step)) => {
                    let AdmissionStep::Evict { id, .. } = step else {
                        unreachable!("a grant admits no other client");
                    };
                    self.clients.retain(|client| client.id != id);
                    return Some(step);
                }
            }
        }
        None
    }
}
