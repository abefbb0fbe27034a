//! The places of one kind: how many each peer has, and who of them could give way.

use super::Peer;
use crate::time::{Time, whole_nanos};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

/// How far a stranger has come; whoever has shown less gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Silent,
    Speaking,
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
    /// All strangers, by since when they have got nowhere.
    by_quiet: BTreeSet<(Time, u64)>,
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
            self.by_quiet.insert((rank.since, rank.id));
        }
    }

    pub(super) fn unwatch(&mut self, peer: Peer, rank: Rank) {
        if let Some(share) = self.shares.get_mut(&peer) {
            share.strangers.remove(&rank);
            self.by_quiet.remove(&(rank.since, rank.id));
        }
    }

    /// When the first stranger has been quiet for so long, if there are any.
    fn first_quiet(&self, patience: Duration) -> Option<Time> {
        let (since, _) = self.by_quiet.first()?;
        quiet_at(*since, patience)
    }

    /// When the next stranger will have been quiet for so long, after `now`.
    pub(super) fn next_quiet(&self, now: Time, patience: Duration) -> Option<Time> {
        let quiet_now = now.as_nanos().checked_sub(whole_nanos(patience));
        let from = quiet_now.map_or(Bound::Unbounded, |since| {
            Bound::Excluded((Time::from_nanos(since), u64::MAX))
        });
        let (since, _) = self.by_quiet.range((from, Bound::Unbounded)).next()?;
        quiet_at(*since, patience)
    }

    /// Who gives its place to `claimant`, if anybody does.
    pub(super) fn victim(
        &self,
        now: Time,
        patience: Duration,
        claimant: Peer,
        has_waited: bool,
    ) -> Option<u64> {
        let is_over = |at: Time| at <= now;
        let somebody_is_quiet = self.first_quiet(patience).is_some_and(is_over);
        if !somebody_is_quiet && !has_waited {
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
                let is_quiet = quiet_at(rank.since, patience).is_some_and(is_over);
                is_quiet || (has_waited && is_fairer)
            });
            if let Some(rank) = gives_way {
                return Some(rank.id);
            }
        }
        None
    }
}

/// When somebody has been quiet for long enough who has got nowhere since then; never, while it waits for us.
fn quiet_at(since: Time, patience: Duration) -> Option<Time> {
    Some(since.after(patience)).filter(|at| *at != Time::FAR_FUTURE)
}
