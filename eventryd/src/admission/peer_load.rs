//! The load of each peer: the slots of one kind that it holds, and which of its clients may be evicted.

use super::Peer;
use eventry::MonotonicTime;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

/// Progress of an unidentified client. Clients of an earlier stage are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Silent,
    Speaking,
}

impl Stage {
    const ALL: [Stage; 2] = [Stage::Silent, Stage::Speaking];

    /// Returns the part of the grace that a client of this stage has. A silent client has less: clients speak
    /// first in this protocol, so silence is no sign of a slow network.
    fn share_of(self, grace: Duration) -> Duration {
        match self {
            Stage::Silent => grace / 2,
            Stage::Speaking => grace,
        }
    }

    /// Tests if the grace of a client without progress since `since` is over. It never is while the client
    /// waits for the daemon.
    fn is_overdue(self, since: MonotonicTime, now: MonotonicTime, grace: Duration) -> bool {
        let at = since.saturating_add(self.share_of(grace));
        at <= now && at != MonotonicTime::FAR_FUTURE
    }
}

/// The order in which the unidentified clients of one peer are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EvictionRank {
    pub(super) stage: Stage,
    /// The time of the last progress; [`MonotonicTime::FAR_FUTURE`] while the client waits for the daemon.
    pub(super) since: MonotonicTime,
    pub(super) id: u64,
}

/// The slots of one kind, by peer.
#[derive(Debug, Default)]
pub(super) struct PeerLoad {
    total: usize,
    shares: HashMap<Peer, Share>,
    /// All peers, ordered by their number of slots.
    by_count: BTreeSet<(usize, Peer)>,
    /// All unidentified clients of each [`Stage`], ordered by their last progress.
    by_progress: [BTreeSet<(MonotonicTime, u64)>; 2],
}

/// The slots of one peer.
#[derive(Debug, Default)]
struct Share {
    count: usize,
    unidentified: BTreeSet<EvictionRank>,
}

impl PeerLoad {
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    pub(super) fn count(&self, peer: Peer) -> usize {
        self.shares.get(&peer).map_or(0, |share| share.count)
    }

    /// Returns the largest number of slots of one peer.
    pub(super) fn largest(&self) -> usize {
        self.by_count.last().map_or(0, |(count, _)| *count)
    }

    pub(super) fn add(&mut self, peer: Peer) {
        let share = self.shares.entry(peer).or_default();
        self.by_count.remove(&(share.count, peer));
        share.count += 1;
        self.by_count.insert((share.count, peer));
        self.total += 1;
    }

    /// Reverses one [`add`](Self::add). An unidentified client is to be [unranked](Self::unrank) before.
    pub(super) fn remove(&mut self, peer: Peer) {
        let Some(share) = self.shares.get_mut(&peer) else {
            return;
        };
        self.by_count.remove(&(share.count, peer));
        share.count -= 1;
        self.total -= 1;
        if share.count == 0 {
            self.shares.remove(&peer);
        } else {
            self.by_count.insert((share.count, peer));
        }
    }

    /// Makes a client of the peer a candidate for eviction.
    pub(super) fn rank(&mut self, peer: Peer, rank: EvictionRank) {
        if let Some(share) = self.shares.get_mut(&peer) {
            share.unidentified.insert(rank);
            self.by_progress[rank.stage as usize].insert((rank.since, rank.id));
        }
    }

    /// Reverses [`rank`](Self::rank).
    pub(super) fn unrank(&mut self, peer: Peer, rank: EvictionRank) {
        if let Some(share) = self.shares.get_mut(&peer) {
            share.unidentified.remove(&rank);
            self.by_progress[rank.stage as usize].remove(&(rank.since, rank.id));
        }
    }

    /// Tests if the grace of any client is over.
    fn is_any_overdue(&self, now: MonotonicTime, grace: Duration) -> bool {
        let firsts = Stage::ALL.into_iter().zip(&self.by_progress);
        let mut firsts = firsts.filter_map(|(stage, of_stage)| Some((stage, of_stage.first()?.0)));
        firsts.any(|(stage, since)| stage.is_overdue(since, now, grace))
    }

    /// Returns the next time after `now` at which the grace of a client ends.
    pub(super) fn next_overdue(
        &self,
        now: MonotonicTime,
        grace: Duration,
    ) -> Option<MonotonicTime> {
        let nexts = Stage::ALL.into_iter().zip(&self.by_progress);
        let nexts = nexts.filter_map(|(stage, of_stage)| {
            let grace = stage.share_of(grace);
            let overdue_now = now.checked_sub(grace);
            let from =
                overdue_now.map_or(Bound::Unbounded, |since| Bound::Excluded((since, u64::MAX)));
            let (since, _) = of_stage.range((from, Bound::Unbounded)).next()?;
            Some(since.saturating_add(grace)).filter(|at| *at != MonotonicTime::FAR_FUTURE)
        });
        nexts.min()
    }

    /// Returns the client to evict for one of the peer `claimant`, if there is any. `has_waited` is true if
    /// the pending client has waited for the whole grace.
    pub(super) fn victim(
        &self,
        now: MonotonicTime,
        grace: Duration,
        claimant: Peer,
        has_waited: bool,
    ) -> Option<u64> {
        if !has_waited && !self.is_any_overdue(now, grace) {
            return None;
        }
        let own = self.count(claimant);
        for &(count, peer) in self.by_count.iter().rev() {
            // A peer loses no client to one that has as many slots, unless both are the same.
            if count < own.max(1) {
                break;
            }
            if count == own && peer != claimant {
                continue;
            }
            let Some(share) = self.shares.get(&peer) else {
                continue;
            };
            let first_of = |stage| {
                let from = EvictionRank {
                    stage,
                    since: MonotonicTime::ZERO,
                    id: 0,
                };
                share.unidentified.range(from..).next()
            };
            let of_each_stage = [first_of(Stage::Silent), first_of(Stage::Speaking)];
            let mut firsts = of_each_stage.into_iter().flatten();
            let has_excess = count >= own + 2;
            let victim = firsts.find(|rank| {
                rank.stage.is_overdue(rank.since, now, grace) || (has_waited && has_excess)
            });
            if let Some(rank) = victim {
                return Some(rank.id);
            }
        }
        None
    }
}
