//! Admission of clients: which have a slot, which wait for one, and which are evicted, so that no peer can lock
//! others out (DM-601 to DM-603).
//!
//! Slots are limited: those of all clients, and those of anonymous clients, local and network ones separately. As
//! long as there are enough, every client is admitted at once. Otherwise:
//!
//! - Pending clients wait in one order, whatever their socket (DM-609). Clients that have sent something come before
//!   silent ones, because clients speak first in this protocol; then the [`Peer`] with the fewest slots comes first, so
//!   many clients of one peer wait behind each other, not before those of other peers; then the longest wait.
//! - An *unidentified* client has not authenticated or, where it need not, has made no call. It is evicted for a
//!   pending client that has sent something once it makes no progress for [`AdmissionLimits::eviction_grace`]: of
//!   the peer with the most slots first, silent clients first, then the one that stalls for longest. So silence
//!   locks out no client, not even one of the same peer.
//! - A pending client that has sent something and has waited for the grace gets the slot of any unidentified client
//!   of a peer that holds at least two slots more. So clients that only appear active lock out no other peer.
//! - A client that has ended, and only waits for its peer to close the connection, is evicted first.
//! - All other clients in a handshake or in authentication stay, and so does every identified client.
//! - Some of the [`AdmissionLimits::max_clients`] are [reserved](AdmissionLimits::reserved) for peers that have no slot
//!   or few, because identified clients that hold all others never lose theirs.
//!
//! [`ClientAdmission`] only decides: the server reports the ids of clients and the time, and applies the
//! [`AdmissionStep`]s.

use super::lanes::{Candidate, Lanes};
use super::order::Order;
use super::peer_load::{EvictionRank, PeerLoad, Stage};
use super::reserve::Reserve;
use super::{
    AdmissionDecision, AdmissionLimit, AdmissionLimits, AdmissionStep, Peer, PendingClient, Scope,
    Shortage,
};
use eventry::MonotonicTime;
use std::collections::{BTreeMap, BTreeSet};

/// The clients that have a slot, and those that wait for one.
///
/// ```
/// use eventry::MonotonicTime;
/// use eventryd::admission::{
///     AdmissionDecision, AdmissionLimit, AdmissionLimits, AdmissionStep, ClientAdmission, EVICTION_GRACE, Peer,
///     PendingClient,
/// };
///
/// let limits = AdmissionLimits {
///     max_clients: 10,
///     serves_networks: false,
///     max_anonymous: 1,
///     max_waiting: 10,
///     eviction_grace: EVICTION_GRACE,
/// };
/// let mut clients = ClientAdmission::new(limits);
/// let pending = PendingClient { peer: Peer::User(Some(1000)), anonymous: true };
/// assert_eq!(clients.arrive(MonotonicTime::ZERO, 1, pending), AdmissionDecision::Admit);
/// assert_eq!(clients.arrive(MonotonicTime::ZERO, 2, pending), AdmissionDecision::Wait);
/// assert_eq!(clients.next(MonotonicTime::ZERO), None);
///
/// // The first one is silent; the second one is not.
/// clients.spoke(MonotonicTime::ZERO, 2);
/// let later = clients.retry_at(MonotonicTime::ZERO).expect("the grace of the first one ends");
/// assert_eq!(later, MonotonicTime::ZERO.saturating_add(EVICTION_GRACE / 2));
/// let evicted = AdmissionStep::Evict { id: 1, limit: AdmissionLimit::Anonymous(1) };
/// assert_eq!(clients.next(later), Some(evicted));
/// assert_eq!(clients.next(later), Some(AdmissionStep::Admit(2)));
/// ```
#[derive(Debug)]
pub struct ClientAdmission {
    limits: AdmissionLimits,
    /// All clients with a slot.
    all: PeerLoad,
    /// The anonymous ones among them, by [`Scope`].
    anonymous: [PeerLoad; 2],
    reserve: Reserve,
    most_served: usize,
    unidentified: BTreeMap<u64, Unidentified>,
    /// Clients with a slot that have ended and are not gone yet.
    ended: BTreeMap<u64, Peer>,
    /// Clients that were evicted or rejected and are not gone yet.
    evicted: BTreeSet<u64>,
    waiting: Lanes,
    /// The waiting client for which the last step evicted another one.
    claimant: Option<u64>,
    /// Set when no client is admitted any more.
    closed: bool,
}

/// A client with a slot that has not authenticated or, where it need not, has made no call.
#[derive(Clone, Copy, Debug)]
struct Unidentified {
    client: PendingClient,
    rank: EvictionRank,
}

/// The availability of a slot.
enum Grant {
    /// A slot is free.
    Free,
    /// A slot is free once this client is evicted.
    AfterEviction { id: u64, limit: AdmissionLimit },
    /// No slot is available.
    Unavailable,
}

impl ClientAdmission {
    /// Creates the admission of clients, without any client.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> ClientAdmission {
        ClientAdmission {
            limits,
            all: PeerLoad::default(),
            anonymous: Default::default(),
            reserve: Reserve::default(),
            most_served: 0,
            unidentified: BTreeMap::new(),
            ended: BTreeMap::new(),
            evicted: BTreeSet::new(),
            waiting: Lanes::default(),
            claimant: None,
            closed: false,
        }
    }

    /// Replaces the limits. Admitted clients keep their slots (DM-606). Call [`next`](Self::next) afterwards.
    pub fn set_limits(&mut self, limits: AdmissionLimits) {
        self.limits = limits;
        self.fill_unreserved(Scope::Local);
    }

    /// Returns the limits in force.
    #[must_use]
    pub const fn limits(&self) -> AdmissionLimits {
        self.limits
    }

    /// Returns the number of clients that have a slot, which never exceeds [`AdmissionLimits::max_clients`] unless that
    /// was lowered.
    #[must_use]
    pub const fn served(&self) -> usize {
        self.all.total()
    }

    /// Returns the largest number of clients that had a slot at the same time.
    #[must_use]
    pub const fn most_served(&self) -> usize {
        self.most_served
    }

    /// Returns the number of waiting clients.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Decides about a new connection. `id` must be new. If the client waits, call [`next`](Self::next) afterwards.
    pub fn arrive(
        &mut self,
        now: MonotonicTime,
        id: u64,
        client: PendingClient,
    ) -> AdmissionDecision {
        if self.closed {
            return AdmissionDecision::Reject(id);
        }
        let has_slot = matches!(self.grant(now, client, false, false), Grant::Free);
        if has_slot && !self.is_any_admissible(now) {
            self.admit(Stage::Silent, now, id, client);
            return AdmissionDecision::Admit;
        }
        self.waiting.add(now, id, client);
        if self.waiting.len() <= self.limits.max_waiting {
            return AdmissionDecision::Wait;
        }
        let Some(rejected) = self.waiting.reject() else {
            return AdmissionDecision::Wait;
        };
        if rejected != id {
            self.evicted.insert(rejected);
        }
        AdmissionDecision::Reject(rejected)
    }

    /// Records that a waiting client has sent something. Call [`next`](Self::next) afterwards.
    pub fn spoke(&mut self, now: MonotonicTime, id: u64) {
        self.waiting.spoke(now, id);
    }

    /// Returns the next step at `now`. Call this until there is none, after any other call and at the time that
    /// [`retry_at`](Self::retry_at) returns.
    pub fn next(&mut self, now: MonotonicTime) -> Option<AdmissionStep> {
        if self.closed {
            return None;
        }
        // The slot of an evicted client is for the one that needed it.
        let claimant = self.claimant.take().and_then(|id| self.waiting.front(id));
        for candidate in claimant.into_iter().chain(self.candidates()) {
            let Candidate {
                id,
                since,
                client,
                speaks,
                ..
            } = candidate;
            let has_waited = since.saturating_add(self.limits.eviction_grace) <= now;
            match self.grant(now, client, speaks, has_waited) {
                Grant::Free => {
                    self.waiting.remove(id);
                    if speaks {
                        self.admit(Stage::Speaking, now, id, client);
                    } else {
                        // Its time in the queue counts as silence.
                        self.admit(Stage::Silent, since, id, client);
                    }
                    return Some(AdmissionStep::Admit(id));
                }
                Grant::AfterEviction { id: evicted, limit } => {
                    self.evict(evicted);
                    self.claimant = Some(id);
                    return Some(AdmissionStep::Evict { id: evicted, limit });
                }
                Grant::Unavailable => {}
            }
        }
        None
    }

    /// Returns the time at which [`next`](Self::next) is due even if there is no other call before; `None` if it is
    /// not.
    #[must_use]
    pub fn retry_at(&self, now: MonotonicTime) -> Option<MonotonicTime> {
        let grace = self.limits.eviction_grace;
        let speaking = self.waiting.iter().filter(|lane| lane.speaks);
        let times = speaking.flat_map(|lane| {
            let loads = [
                Some(&self.all),
                lane.anonymous
                    .then_some(&self.anonymous[lane.scope as usize]),
            ];
            let overdue = loads.into_iter().flatten();
            let overdue = overdue.filter_map(move |load| load.next_overdue(now, grace));
            let waited = lane
                .fronts()
                .map(move |first| first.since.saturating_add(grace));
            // Without a waiting client none is evicted.
            overdue.filter(|_| !lane.is_empty()).chain(waited)
        });
        times
            .filter(|at| *at > now && *at != MonotonicTime::FAR_FUTURE)
            .min()
    }

    /// Returns a client that has sent something and waits, with the reason. Returns each client once, and none after
    /// [`close`](Self::close). Call this when [`next`](Self::next) has returned `None`, until there is none.
    pub fn next_shortage(&mut self) -> Option<(u64, Shortage)> {
        let (id, PendingClient { peer, .. }) = self.waiting.take_unreported()?;
        if self.closed {
            return None;
        }
        let AdmissionLimits {
            max_clients,
            max_anonymous,
            ..
        } = self.limits;
        let shortage = if self.has_slot(peer, true, 0) {
            Shortage::Limit(AdmissionLimit::Anonymous(max_anonymous))
        } else if self.all.total() < max_clients {
            Shortage::Reserved {
                max_clients,
                reserved: max_clients - self.limits.unreserved(),
            }
        } else {
            Shortage::Limit(AdmissionLimit::Clients(max_clients))
        };
        Some((id, shortage))
    }

    /// Records progress of an unidentified client. `waits_for_daemon` is true if the daemon has to decide next.
    pub fn progressed(&mut self, now: MonotonicTime, id: u64, waits_for_daemon: bool) {
        let since = if waits_for_daemon {
            MonotonicTime::FAR_FUTURE
        } else {
            now
        };
        let Some(unidentified) = self.unidentified.remove(&id) else {
            return;
        };
        self.unrank(unidentified);
        let rank = EvictionRank {
            stage: Stage::Speaking,
            since,
            id,
        };
        self.rank(Unidentified {
            rank,
            ..unidentified
        });
    }

    /// Records that a client has authenticated or, where it need not, has made a call.
    pub fn identified(&mut self, id: u64) {
        if let Some(unidentified) = self.unidentified.remove(&id) {
            self.unrank(unidentified);
            let PendingClient { peer, anonymous } = unidentified.client;
            if anonymous {
                self.anonymous[peer.scope() as usize].remove(peer);
            }
        }
    }

    /// Records that a client with a slot has ended, and only waits for its peer to close the connection. It is the
    /// first to be evicted for a client that has sent something. Call [`next`](Self::next) afterwards.
    pub fn ended(&mut self, id: u64, peer: Peer) {
        if !self.evicted.contains(&id) && !self.waiting.contains(id) {
            self.identified(id);
            self.ended.insert(id, peer);
        }
    }

    /// Records that a client is gone, with a slot or without.
    pub fn gone(&mut self, id: u64, peer: Peer) {
        if !self.evicted.remove(&id) && !self.waiting.remove(id) {
            self.identified(id);
            self.ended.remove(&id);
            self.all.remove(peer);
            self.reserve.remove(id);
            self.fill_unreserved(peer.scope());
        }
    }

    /// Ends admission permanently.
    pub fn close(&mut self) {
        self.closed = true;
    }

    fn fill_unreserved(&mut self, first: Scope) {
        let (total, unreserved) = (self.all.total(), self.limits.unreserved());
        self.reserve.fill_unreserved(total, unreserved, first);
    }

    fn admit(&mut self, stage: Stage, since: MonotonicTime, id: u64, client: PendingClient) {
        if self.all.total() >= self.limits.unreserved() {
            self.reserve.add(client.peer.scope(), id);
        }
        self.all.add(client.peer);
        self.most_served = self.most_served.max(self.all.total());
        if client.anonymous {
            self.anonymous[client.peer.scope() as usize].add(client.peer);
        }
        let rank = EvictionRank { stage, since, id };
        self.rank(Unidentified { client, rank });
    }

    fn evict(&mut self, id: u64) {
        let unidentified = self.unidentified.get(&id);
        let unidentified = unidentified.map(|unidentified| unidentified.client.peer);
        if let Some(peer) = unidentified.or_else(|| self.ended.get(&id).copied()) {
            self.gone(id, peer);
            self.evicted.insert(id);
        }
    }

    fn rank(&mut self, unidentified: Unidentified) {
        let Unidentified { client, rank } = unidentified;
        self.unidentified.insert(rank.id, unidentified);
        self.all.rank(client.peer, rank);
        if client.anonymous {
            self.anonymous[client.peer.scope() as usize].rank(client.peer, rank);
        }
    }

    fn unrank(&mut self, unidentified: Unidentified) {
        let Unidentified { client, rank } = unidentified;
        self.all.unrank(client.peer, rank);
        if client.anonymous {
            self.anonymous[client.peer.scope() as usize].unrank(client.peer, rank);
        }
    }

    /// Tests if a waiting client could be admitted without an eviction.
    fn is_any_admissible(&self, now: MonotonicTime) -> bool {
        let mut candidates = self.candidates().into_iter();
        candidates.any(|Candidate { client, speaks, .. }| {
            matches!(self.grant(now, client, speaks, false), Grant::Free)
        })
    }

    /// Returns the next clients to admit, in their order.
    fn candidates(&self) -> Vec<Candidate> {
        let order = Order {
            waiting: &self.waiting,
            all: &self.all,
            anonymous: &self.anonymous,
            limits: &self.limits,
        };
        order.candidates()
    }

    /// Finds a slot for a client. No client is evicted for one that is silent.
    fn grant(
        &self,
        now: MonotonicTime,
        client: PendingClient,
        speaks: bool,
        has_waited: bool,
    ) -> Grant {
        let PendingClient { peer, anonymous } = client;
        let after_eviction = |load: &PeerLoad, limit| {
            if !speaks {
                return Grant::Unavailable;
            }
            let victim = load.victim(now, self.limits.eviction_grace, peer, has_waited);
            victim.map_or(Grant::Unavailable, |id| Grant::AfterEviction { id, limit })
        };
        let load = &self.anonymous[peer.scope() as usize];
        let max_anonymous = self.limits.max_anonymous;
        let is_excess = anonymous && max_anonymous != 0 && load.total() >= max_anonymous;
        // An anonymous client is evicted only if the pending one then fits both limits.
        let released = usize::from(is_excess);
        if !self.has_slot(peer, speaks, released) {
            let limit = AdmissionLimit::Clients(self.limits.max_clients);
            return match self.ended.first_key_value() {
                Some((&id, _))
                    if speaks && self.has_slot(peer, speaks, released + self.ended.len()) =>
                {
                    Grant::AfterEviction { id, limit }
                }
                _ => after_eviction(&self.all, limit),
            };
        }
        if is_excess {
            return after_eviction(load, AdmissionLimit::Anonymous(max_anonymous));
        }
        Grant::Free
    }

    /// Tests if a slot is free for the peer after `released` clients of its scope have left.
    fn has_slot(&self, peer: Peer, speaks: bool, released: usize) -> bool {
        let total = self.all.total().saturating_sub(released);
        total < self.limits.unreserved()
            || (speaks && total < self.limits.max_clients && self.has_reserved_slot(peer, released))
    }

    /// Tests if the peer may have a reserved slot. The more of them are free, the more slots the peer may hold already,
    /// but never nearly as many as another peer.
    fn has_reserved_slot(&self, peer: Peer, released: usize) -> bool {
        let held = self.reserve.held(peer.scope()).saturating_sub(released);
        let free = self.limits.reserved(peer.scope()).saturating_sub(held);
        let own = self.all.count(peer);
        free > 0 && (own == 0 || (own < 4 * free && 2 * (own + 1) <= self.all.largest()))
    }
}
