//! Everybody who is there, in one list, and the rules as they are written.

use eventry::MonotonicTime;
use eventryd::admission::{
    AdmissionLimit, AdmissionLimits, AdmissionStep, Peer, PendingClient, Scope,
};

/// Everybody who is there, in one list, and the rules as they are written.
pub(crate) struct Naive {
    pub(crate) limits: AdmissionLimits,
    pub(crate) clients: Vec<Client>,
    pub(crate) waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) newcomer: PendingClient,
    pub(crate) is_unidentified: bool,
    pub(crate) has_spoken: bool,
    /// Since when it has got nowhere; none while it waits for the daemon.
    pub(crate) since: Option<MonotonicTime>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) newcomer: PendingClient,
    /// When it came, or when it first said something.
    pub(crate) since: MonotonicTime,
    pub(crate) speaks: bool,
}

/// Which places somebody needs that are scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Anonymous(Scope),
}

impl Naive {
    fn of(&self, kind: Kind) -> Vec<Client> {
        let counts = |client: &Client| match kind {
            Kind::All => true,
            Kind::Anonymous(scope) => {
                let PendingClient { peer, anonymous } = client.newcomer;
                anonymous && client.is_unidentified && peer.scope() == scope
            }
        };
        self.clients.iter().copied().filter(counts).collect()
    }

    fn count(&self, kind: Kind, peer: Peer) -> usize {
        let of_peer = |client: &Client| client.newcomer.peer == peer;
        self.of(kind)
            .iter()
            .filter(|client| of_peer(client))
            .count()
    }

    fn victim(
        &self,
        kind: Kind,
        now: MonotonicTime,
        claimant: Peer,
        has_waited: bool,
    ) -> Option<u64> {
        let own = self.count(kind, claimant);
        let is_quiet = |client: &Client| {
            let grace = self.limits.eviction_grace / if client.has_spoken { 1 } else { 2 };
            client
                .since
                .is_some_and(|since| since.saturating_add(grace) <= now)
        };
        let gives_way = |client: &Client| {
            let theirs = self.count(kind, client.newcomer.peer);
            let may_be_asked = client.newcomer.peer == claimant || theirs > own;
            client.is_unidentified
                && may_be_asked
                && (is_quiet(client) || (has_waited && theirs >= own + 2))
        };
        let candidates = self.of(kind).into_iter().filter(gives_way);
        // Of the heaviest peer, the silent before those who speak, the longest quiet first.
        let order = |client: &Client| {
            let theirs = self.count(kind, client.newcomer.peer);
            let heaviest = std::cmp::Reverse((theirs, client.newcomer.peer));
            let since = client.since.unwrap_or(MonotonicTime::FAR_FUTURE);
            (heaviest, client.has_spoken, since, client.id)
        };
        candidates.min_by_key(order).map(|client| client.id)
    }

    /// `None` for never, `Some(None)` for at once, otherwise the eviction that has to come first.
    fn grant(&self, now: MonotonicTime, waiting: Waiting) -> Option<Option<AdmissionStep>> {
        let PendingClient { peer, anonymous } = waiting.newcomer;
        let speaks = waiting.speaks;
        let has_waited = waiting.since.saturating_add(self.limits.eviction_grace) <= now;
        let victim = |kind| {
            let victim = self.victim(kind, now, peer, has_waited);
            let limit = match kind {
                Kind::All => AdmissionLimit::Clients(self.limits.max_clients),
                Kind::Anonymous(_) => AdmissionLimit::Anonymous(self.limits.max_anonymous),
            };
            let victim = victim.filter(|_| speaks);
            victim.map(|id| AdmissionStep::Evict { id, limit })
        };
        let unknown = Kind::Anonymous(peer.scope());
        let limit = self.limits.max_anonymous;
        if anonymous && limit != 0 && self.of(unknown).len() >= limit {
            return victim(unknown).map(Some);
        }
        let max = self.limits.max_clients;
        if self.clients.len() < max {
            return Some(None);
        }
        if let Some(victim) = victim(Kind::All) {
            return Some(Some(victim));
        }
        let for_networks = (max / 32).max(1);
        let beyond = match peer.scope() {
            Scope::Local => 2 * for_networks,
            Scope::Network => for_networks,
        };
        let own = self.count(Kind::All, peer);
        let peers = self.clients.iter().map(|client| client.newcomer.peer);
        let most = peers
            .map(|peer| self.count(Kind::All, peer))
            .max()
            .unwrap_or(0);
        let free = (max + beyond).saturating_sub(self.clients.len());
        let is_small = own == 0 || (own < 4 * free && 2 * (own + 1) <= most);
        (speaks && free > 0 && is_small).then_some(None)
    }

    /// Whether it has a place.
    pub(crate) fn arrive(&mut self, now: MonotonicTime, id: u64, newcomer: PendingClient) -> bool {
        let is_like = |waiting: &Waiting| {
            waiting.newcomer.anonymous == newcomer.anonymous
                && waiting.newcomer.peer.scope() == newcomer.peer.scope()
        };
        let waiting = Waiting {
            id,
            newcomer,
            since: now,
            speaks: false,
        };
        let nobody_waits = !self.waiting.iter().any(is_like);
        let admitted = nobody_waits && self.grant(now, waiting) == Some(None);
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
            newcomer: waiting.newcomer,
            is_unidentified: true,
            has_spoken: waiting.speaks,
            since: Some(waiting.since),
        });
    }

    pub(crate) fn next(&mut self, now: MonotonicTime) -> Option<AdmissionStep> {
        let lanes = [true, false].into_iter().flat_map(|speaks| {
            [Scope::Local, Scope::Network]
                .into_iter()
                .flat_map(move |scope| [true, false].map(|anonymous| (speaks, scope, anonymous)))
        });
        for (speaks, scope, anonymous) in lanes {
            let kind = if anonymous {
                Kind::Anonymous(scope)
            } else {
                Kind::All
            };
            let like = |waiting: &&Waiting| {
                let PendingClient {
                    peer,
                    anonymous: is,
                } = waiting.newcomer;
                is == anonymous && peer.scope() == scope && waiting.speaks == speaks
            };
            let lane: Vec<&Waiting> = self.waiting.iter().filter(like).collect();
            // Of each peer the first one, in the order in which they came or spoke.
            let firsts = lane.iter().filter(|one| {
                let of_peer = |other: &&&Waiting| other.newcomer.peer == one.newcomer.peer;
                lane.iter()
                    .find(of_peer)
                    .is_some_and(|first| first.id == one.id)
            });
            let order = |one: &&&Waiting| (self.count(kind, one.newcomer.peer), one.since, one.id);
            let Some(&&first) = firsts.min_by_key(order) else {
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
