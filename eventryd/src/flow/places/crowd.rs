//! The places of one kind: how many each peer has, and who of them could give way.

use super::Peer;
use eventry::Time;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

/// How far a stranger has come; whoever has shown less gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Silent,
    Speaking,
}

impl Stage {
    const ALL: [Stage; 2] = [Stage::Silent, Stage::Speaking];

    /// How much of the patience it has. Clients speak first, so that who says nothing wants nothing.
    fn share_of(self, patience: Duration) -> Duration {
        match self {
            Stage::Silent => patience / 2,
            Stage::Speaking => patience,
        }
    }

    /// Whether somebody who has got nowhere since then has had its time; never, while it waits for us.
    fn is_quiet(self, since: Time, now: Time, patience: Duration) -> bool {
        let at = since.after(self.share_of(patience));
        at <= now && at != Time::FAR_FUTURE
    }
}

/// The order in which the strangers of one peer give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) stage: Stage,
    /// Since when it has got nowhere; [`Time::FAR_FUTURE`] while it waits for us.
    pub(super) since: Time,
    pub(super) id: u64,
}

/// Who has places of one kind.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    total: usize,
    shares: HashMap<Peer, Share>,
    /// All peers, by how many places they have.
    by_count: BTreeSet<(usize, Peer)>,
    /// All strangers of each [`Stage`], by since when they have got nowhere.
    by_quiet: [BTreeSet<(Time, u64)>; 2],
}

#[derive(Debug, Default)]
struct Share {
    count: usize,
    strangers: BTreeSet<Rank>,
}

impl Crowd {
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    pub(super) fn count(&self, peer: Peer) -> usize {
        self.shares.get(&peer).map_or(0, |share| share.count)
    }

    /// The most that one peer has.
    pub(super) fn most(&self) -> usize {
        self.by_count.last().map_or(0, |(count, _)| *count)
    }

    pub(super) fn join(&mut self, peer: Peer) {
        let share = self.shares.entry(peer).or_default();
        self.by_count.remove(&(share.count, peer));
        share.count += 1;
        self.by_count.insert((share.count, peer));
        self.total += 1;
    }

    /// The opposite of [`join`](Self::join); a stranger is to be [unwatched](Self::unwatch) before.
    pub(super) fn leave(&mut self, peer: Peer) {
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

    /// Somebody who has a place could give way, and is so far.
    pub(super) fn watch(&mut self, peer: Peer, rank: Rank) {
        if let Some(share) = self.shares.get_mut(&peer) {
            share.strangers.insert(rank);
            self.by_quiet[rank.stage as usize].insert((rank.since, rank.id));
        }
    }

    pub(super) fn unwatch(&mut self, peer: Peer, rank: Rank) {
        if let Some(share) = self.shares.get_mut(&peer) {
            share.strangers.remove(&rank);
            self.by_quiet[rank.stage as usize].remove(&(rank.since, rank.id));
        }
    }

    /// Whether a stranger has been quiet for too long.
    fn somebody_is_quiet(&self, now: Time, patience: Duration) -> bool {
        let firsts = Stage::ALL.into_iter().zip(&self.by_quiet);
        let mut firsts = firsts.filter_map(|(stage, of_stage)| Some((stage, of_stage.first()?.0)));
        firsts.any(|(stage, since)| stage.is_quiet(since, now, patience))
    }

    /// When the next stranger will have been quiet for too long, after `now`.
    pub(super) fn next_quiet(&self, now: Time, patience: Duration) -> Option<Time> {
        let nexts = Stage::ALL.into_iter().zip(&self.by_quiet);
        let nexts = nexts.filter_map(|(stage, of_stage)| {
            let patience = stage.share_of(patience);
            let quiet_now = now.checked_sub(patience);
            let from =
                quiet_now.map_or(Bound::Unbounded, |since| Bound::Excluded((since, u64::MAX)));
            let (since, _) = of_stage.range((from, Bound::Unbounded)).next()?;
            Some(since.after(patience)).filter(|at| *at != Time::FAR_FUTURE)
        });
        nexts.min()
    }

    /// Who gives its place to `claimant`, if anybody does.
    pub(super) fn victim(
        &self,
        now: Time,
        patience: Duration,
        claimant: Peer,
        has_waited: bool,
    ) -> Option<u64> {
        if !has_waited && !self.somebody_is_quiet(now, patience) {
            return None;
        }
        let own = self.count(claimant);
        for &(count, peer) in self.by_count.iter().rev() {
            // Nobody gives way to somebody who has as many places already, but to his own peer.
            if count < own.max(1) {
                break;
            }
            if count == own && peer != claimant {
                continue;
            }
            let Some(share) = self.shares.get(&peer) else {
                continue;
            };
            // What has shown nothing yet, the longest quiet first, stands before what has.
            let first_of = |stage| {
                let from = Rank {
                    stage,
                    since: Time::ZERO,
                    id: 0,
                };
                share.strangers.range(from..).next()
            };
            let of_each_stage = [first_of(Stage::Silent), first_of(Stage::Speaking)];
            let mut firsts = of_each_stage.into_iter().flatten();
            let is_fairer = count >= own + 2;
            let gives_way = firsts.find(|rank| {
                rank.stage.is_quiet(rank.since, now, patience) || (has_waited && is_fairer)
            });
            if let Some(rank) = gives_way {
                return Some(rank.id);
            }
        }
        None
    }
}
