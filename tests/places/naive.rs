//! Everybody who is there, in one list, and the rules as they are written.

use eventry::Time;
use eventry::flow::{Newcomer, Peer, PlaceLimits, Reach, Step};

/// Everybody who is there, in one list, and the rules as they are written.
pub(crate) struct Naive {
    pub(crate) limits: PlaceLimits,
    pub(crate) clients: Vec<Client>,
    pub(crate) waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) newcomer: Newcomer,
    pub(crate) is_stranger: bool,
    pub(crate) has_spoken: bool,
    /// Since when it has got nowhere; none while it waits for the daemon.
    pub(crate) since: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) newcomer: Newcomer,
    since: Time,
}

/// Which places somebody needs that are scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Anonymous(Reach),
}

impl Naive {
    fn of(&self, kind: Kind) -> Vec<Client> {
        let counts = |client: &Client| match kind {
            Kind::All => true,
            Kind::Anonymous(reach) => {
                let Newcomer { peer, anonymous } = client.newcomer;
                anonymous && client.is_stranger && peer.reach() == reach
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

    fn victim(&self, kind: Kind, now: Time, claimant: Peer, has_waited: bool) -> Option<u64> {
        let own = self.count(kind, claimant);
        let is_quiet = |client: &Client| {
            let quiet_since = client.since.map(|since| since.after(self.limits.patience));
            quiet_since.is_some_and(|at| at <= now && at != Time::FAR_FUTURE)
        };
        let gives_way = |client: &Client| {
            let theirs = self.count(kind, client.newcomer.peer);
            let may_be_asked = client.newcomer.peer == claimant || theirs > own;
            client.is_stranger
                && may_be_asked
                && (is_quiet(client) || (has_waited && theirs >= own + 2))
        };
        let candidates = self.of(kind).into_iter().filter(gives_way);
        // Of the heaviest peer, the silent before those who speak, the longest quiet first.
        let order = |client: &Client| {
            let theirs = self.count(kind, client.newcomer.peer);
            let heaviest = std::cmp::Reverse((theirs, client.newcomer.peer));
            let since = client.since.unwrap_or(Time::FAR_FUTURE);
            (heaviest, client.has_spoken, since, client.id)
        };
        candidates.min_by_key(order).map(|client| client.id)
    }

    /// `None` for never, `Some(None)` for at once, otherwise who has to give way.
    fn grant(&self, now: Time, newcomer: Newcomer, has_waited: bool) -> Option<Option<u64>> {
        let Newcomer { peer, anonymous } = newcomer;
        let unknown = Kind::Anonymous(peer.reach());
        let limit = self.limits.max_anonymous;
        if anonymous && limit != 0 && self.of(unknown).len() >= limit {
            return self.victim(unknown, now, peer, has_waited).map(Some);
        }
        let max = self.limits.max_clients;
        if self.clients.len() < max {
            return Some(None);
        }
        if let Some(victim) = self.victim(Kind::All, now, peer, has_waited) {
            return Some(Some(victim));
        }
        let for_networks = (max / 32).max(1);
        let beyond = match peer.reach() {
            Reach::Local => 2 * for_networks,
            Reach::Network => for_networks,
        };
        let own = self.count(Kind::All, peer);
        let peers = self.clients.iter().map(|client| client.newcomer.peer);
        let most = peers
            .map(|peer| self.count(Kind::All, peer))
            .max()
            .unwrap_or(0);
        let free = (max + beyond).saturating_sub(self.clients.len());
        let is_small = own == 0 || (own < 4 * free && 2 * (own + 1) <= most);
        (free > 0 && is_small).then_some(None)
    }

    /// Whether it has a place.
    pub(crate) fn arrive(&mut self, now: Time, id: u64, newcomer: Newcomer) -> bool {
        let is_like = |waiting: &Waiting| {
            waiting.newcomer.anonymous == newcomer.anonymous
                && waiting.newcomer.peer.reach() == newcomer.peer.reach()
        };
        let nobody_waits = !self.waiting.iter().any(is_like);
        let admitted = nobody_waits && self.grant(now, newcomer, false) == Some(None);
        if admitted {
            self.admit(now, id, newcomer);
        } else {
            let since = now;
            self.waiting.push(Waiting {
                id,
                newcomer,
                since,
            });
        }
        admitted
    }

    fn admit(&mut self, now: Time, id: u64, newcomer: Newcomer) {
        self.clients.push(Client {
            id,
            newcomer,
            is_stranger: true,
            has_spoken: false,
            since: Some(now),
        });
    }

    pub(crate) fn next(&mut self, now: Time) -> Option<Step> {
        for (reach, anonymous) in [
            (Reach::Local, true),
            (Reach::Local, false),
            (Reach::Network, true),
            (Reach::Network, false),
        ] {
            let kind = if anonymous {
                Kind::Anonymous(reach)
            } else {
                Kind::All
            };
            let like = |waiting: &&Waiting| {
                let Newcomer {
                    peer,
                    anonymous: is,
                } = waiting.newcomer;
                is == anonymous && peer.reach() == reach
            };
            let order = |waiting: &&Waiting| {
                (
                    self.count(kind, waiting.newcomer.peer),
                    waiting.since,
                    waiting.id,
                )
            };
            let Some(&first) = self.waiting.iter().filter(like).min_by_key(order) else {
                continue;
            };
            let has_waited = first.since.after(self.limits.patience) <= now;
            match self.grant(now, first.newcomer, has_waited) {
                None => {}
                Some(None) => {
                    self.waiting.retain(|waiting| waiting.id != first.id);
                    self.admit(now, first.id, first.newcomer);
                    return Some(Step::Admit(first.id));
                }
                Some(Some(victim)) => {
                    self.clients.retain(|client| client.id != victim);
                    return Some(Step::Evict(victim));
                }
            }
        }
        None
    }
}
