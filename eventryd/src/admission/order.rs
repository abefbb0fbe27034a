//! The order in which waiting clients get slots.

use super::lanes::{Candidate, Lane, Lanes};
use super::peer_load::PeerLoad;
use super::{AdmissionLimits, PendingClient, Scope};

/// The order of the waiting clients over all lanes (DM-609).
pub(super) struct Order<'a> {
    pub(super) waiting: &'a Lanes,
    /// All slots in use.
    pub(super) all: &'a PeerLoad,
    /// The anonymous ones among them, by [`Scope`](super::Scope).
    pub(super) anonymous: &'a [PeerLoad; 2],
    pub(super) limits: &'a AdmissionLimits,
}

impl Order<'_> {
    /// Returns the next clients to admit: first those that have sent something, then those of the peer with the fewest
    /// slots, then the one that has waited for longest. They are the first ones of each lane: of the peer with the fewest
    /// slots of that kind; and of the peer with the fewest slots of any kind, which may have a reserved slot when the
    /// other peer may not.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let is_scarce = [false, true].map(|speaks| self.is_any_slot_scarce(speaks));
        let order = |candidate: &Candidate| {
            let Candidate {
                client: PendingClient { peer, anonymous },
                speaks,
                turn,
                ..
            } = *candidate;
            let load = if is_scarce[usize::from(speaks)] {
                self.all.count(peer)
            } else if anonymous {
                self.anonymous[peer.scope() as usize].count(peer)
            } else {
                // There is a slot for each of these.
                0
            };
            (!speaks, load, turn)
        };
        let of_lane = |lane: &Lane| {
            let load = &self.anonymous[lane.scope as usize];
            let by_kind = lane.anonymous.then(|| first_by(lane, load)).flatten();
            [by_kind, first_by(lane, self.all)].into_iter().flatten()
        };
        let mut candidates: Vec<_> = self.waiting.iter().flat_map(of_lane).collect();
        candidates.sort_unstable_by_key(order);
        candidates.dedup_by_key(|candidate| candidate.id);
        candidates
    }

    /// Tests if more clients wait for a slot of any kind than there are free ones that are not reserved: those that have
    /// sent something and, if `speaks` is false, silent ones. An anonymous client counts only if there is an anonymous
    /// slot for it.
    fn is_any_slot_scarce(&self, speaks: bool) -> bool {
        let lanes = || self.waiting.iter().filter(|lane| lane.speaks || !speaks);
        let plain: usize = lanes().filter(|lane| !lane.anonymous).map(Lane::len).sum();
        let anonymous = [Scope::Local, Scope::Network].map(|scope| {
            let of_scope = lanes().filter(|lane| lane.anonymous && lane.scope == scope);
            let needed = of_scope.map(Lane::len).sum::<usize>();
            let used = self.anonymous[scope as usize].total();
            match self.limits.max_anonymous {
                0 => needed,
                limit => needed.min(limit.saturating_sub(used)),
            }
        });
        let free = self.limits.unreserved().saturating_sub(self.all.total());
        plain + anonymous.iter().sum::<usize>() > free
    }
}

/// Returns the first client of a lane: of the peer with the fewest slots of `load`, the first in the queue.
fn first_by(lane: &Lane, load: &PeerLoad) -> Option<Candidate> {
    let order = |one: &Candidate| (load.count(one.client.peer), one.turn);
    lane.fronts().min_by_key(order)
}
