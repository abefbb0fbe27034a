//! A naive model of the admission of clients.

use eventry::MonotonicTime;
use eventryd::admission::{
    AdmissionLimit, AdmissionLimits, AdmissionStep, Peer, PendingClient, Scope,
};

/// All clients in one list, and the rules applied to it literally.
pub(crate) struct Oracle {
    pub(crate) limits: AdmissionLimits,
    pub(crate) clients: Vec<Client>,
    /// In the order of their arrival, or of their first bytes.
    pub(crate) waiting: Vec<Waiting>,
    /// The waiting client for which the last step evicted another one.
    claimant: Option<u64>,
    /// Waiting clients that were passed over in favour of a later one, since the last check.
    overtaken: Vec<u64>,
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
    pub(crate) fn new(limits: AdmissionLimits) -> Oracle {
        Oracle {
            limits,
            clients: Vec::new(),
            waiting: Vec::new(),
            claimant: None,
            overtaken: Vec::new(),
        }
    }

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
        let waiting = Waiting {
            id,
            pending,
            since: now,
            speaks: false,
        };
        // Clients that wait already come first.
        let is_free = |waiting: &Waiting| self.grant(now, *waiting) == Some(None);
        let admitted = is_free(&waiting) && !self.waiting.iter().any(is_free);
        if admitted {
            self.admit(waiting);
        } else {
            self.waiting.push(waiting);
        }
        admitted
    }

    /// Removes a client that is rejected because too many wait.
    ///
    /// # Panics
    /// If another client is to be rejected.
    pub(crate) fn reject(&mut self, id: u64) -> Waiting {
        let waiting = &self.waiting;
        let at = waiting.iter().position(|one| one.id == id);
        let rejected = waiting[at.expect("the rejected client waits")];
        let PendingClient { peer, anonymous } = rejected.pending;
        let of_peer = |peer| move |one: &&Waiting| one.pending.peer == peer;
        let count = |peer| waiting.iter().filter(of_peer(peer)).count();
        let most = waiting.iter().map(|one| count(one.pending.peer)).max();
        assert_eq!(Some(count(peer)), most, "the peer has the most clients");
        let of_peer = waiting.iter().filter(of_peer(peer));
        let mut of_kind = of_peer.filter(|one| one.pending.anonymous == anonymous);
        assert!(
            2 * of_kind.clone().count() >= count(peer),
            "most of them are of this kind"
        );
        let first_silent = of_kind.clone().find(|one| !one.speaks);
        let expected = first_silent
            .or_else(|| of_kind.next_back())
            .map(|one| one.id);
        assert_eq!(Some(id), expected);
        self.waiting.retain(|one| one.id != id);
        rejected
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

    /// Tests if more of the waiting clients could have a slot, as far as only the number of anonymous ones is limited,
    /// than there are free ones that are not reserved.
    fn is_scarce(&self, speaks: bool) -> bool {
        let waiting = self.waiting.iter().filter(|one| one.speaks || !speaks);
        let mut needed = waiting.clone().filter(|one| !one.pending.anonymous).count();
        for scope in [Scope::Local, Scope::Network] {
            let is_like = |one: &&Waiting| {
                let PendingClient { peer, anonymous } = one.pending;
                anonymous && peer.scope() == scope
            };
            let anonymous = waiting.clone().filter(is_like).count();
            let limit = self.limits.max_anonymous;
            needed += if limit == 0 {
                anonymous
            } else {
                anonymous.min(limit.saturating_sub(self.of(Kind::Anonymous(scope)).len()))
            };
        }
        needed > self.unreserved().saturating_sub(self.clients.len())
    }

    /// Returns the waiting client that precedes all others like it, by the number of slots of this kind that its peer has.
    fn first_like(&self, like: &Waiting, kind: Kind) -> Option<Waiting> {
        let is_like = |one: &&Waiting| {
            one.speaks == like.speaks
                && one.pending.anonymous == like.pending.anonymous
                && one.pending.peer.scope() == like.pending.peer.scope()
        };
        // Of equal ones, this is the first in the list.
        let order = |one: &&Waiting| self.count(kind, one.pending.peer);
        self.waiting
            .iter()
            .filter(is_like)
            .min_by_key(order)
            .copied()
    }

    /// Returns the next clients to admit, in their order.
    fn candidates(&self) -> Vec<Waiting> {
        let is_candidate = |one: &&Waiting| {
            let kinds = [Some(Kind::All), kind_of(one)].into_iter().flatten();
            let mut firsts = kinds.map(|kind| self.first_like(one, kind));
            firsts.any(|first| first.is_some_and(|first| first.id == one.id))
        };
        let mut candidates: Vec<_> = self.waiting.iter().filter(is_candidate).copied().collect();
        // A stable sort: clients with the same key stay in the order of the list.
        candidates.sort_by_key(|one| {
            let load = if self.is_scarce(one.speaks) {
                self.count(Kind::All, one.pending.peer)
            } else if one.pending.anonymous {
                self.count(Kind::Anonymous(one.pending.peer.scope()), one.pending.peer)
            } else {
                0
            };
            (!one.speaks, load)
        });
        candidates
    }

    pub(crate) fn next(&mut self, now: MonotonicTime) -> Option<AdmissionStep> {
        let claimant = self.claimant.take();
        let is_claimant = |one: &&Waiting| Some(one.id) == claimant;
        let claimants: Vec<_> = self.waiting.iter().filter(is_claimant).copied().collect();
        let candidates = claimants.into_iter().chain(self.candidates());
        let granted = candidates
            .into_iter()
            .find_map(|one| Some((one, self.grant(now, one)?)));
        let (one, granted) = granted?;
        let Some(step) = granted else {
            if Some(one.id) != claimant {
                self.note_overtaken(now, one);
            }
            self.waiting.retain(|waiting| waiting.id != one.id);
            let since = if one.speaks { now } else { one.since };
            self.admit(Waiting { since, ..one });
            return Some(AdmissionStep::Admit(one.id));
        };
        let AdmissionStep::Evict { id, .. } = step else {
            unreachable!("a grant admits no other client");
        };
        self.remove(id);
        self.claimant = Some(one.id);
        Some(step)
    }

    /// Notes the clients that could have the slot of `admitted`, and come first whichever kind of slot is counted.
    fn note_overtaken(&mut self, now: MonotonicTime, admitted: Waiting) {
        let position = |one: &Waiting| self.waiting.iter().position(|other| other.id == one.id);
        let precedes = |one: &Waiting, kind| {
            let order = |one: &Waiting| (self.count(kind, one.pending.peer), position(one));
            order(one) < order(&admitted)
        };
        let is_overtaken = |one: &&Waiting| {
            let both_anonymous = kind_of(one).filter(|kind| kind_of(&admitted) == Some(*kind));
            let precedes =
                precedes(one, Kind::All) && both_anonymous.is_none_or(|kind| precedes(one, kind));
            let is_first = one.speaks && (precedes || !admitted.speaks);
            is_first && self.grant(now, **one) == Some(None)
        };
        let overtaken = self.waiting.iter().filter(is_overtaken);
        let overtaken: Vec<_> = overtaken.map(|one| one.id).collect();
        self.overtaken.extend(overtaken);
    }

    /// Checks, after the last step, that no client still waits that was overtaken: unless there are slots for all, clients
    /// are admitted in one order over all kinds of sockets.
    ///
    /// # Panics
    /// If a client is overtaken.
    pub(crate) fn check_order(&mut self) {
        let overtaken = std::mem::take(&mut self.overtaken);
        for one in &self.waiting {
            let limit = self.limits.max_anonymous;
            let is_excess =
                kind_of(one).is_some_and(|kind| limit != 0 && self.of(kind).len() >= limit);
            assert!(
                is_excess || !overtaken.contains(&one.id),
                "{one:?} is overtaken"
            );
        }
    }
}

/// Returns the kind of anonymous slot that a client needs, if any.
fn kind_of(waiting: &Waiting) -> Option<Kind> {
    let PendingClient { peer, anonymous } = waiting.pending;
    anonymous.then(|| Kind::Anonymous(peer.scope()))
}
