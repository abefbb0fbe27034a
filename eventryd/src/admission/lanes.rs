//! The queues of waiting clients.

use super::{Peer, PendingClient, Scope};
use eventry::MonotonicTime;
use std::collections::{BTreeMap, VecDeque};

/// All waiting clients.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: [Lane; 8],
    /// The lane and the peer of each client.
    places: BTreeMap<u64, (usize, Peer)>,
}

/// The waiting clients that need the same kind of slot, and of which either all or none have sent something: a queue
/// for each peer.
#[derive(Debug, Default)]
pub(super) struct Lane(BTreeMap<Peer, VecDeque<Waiting>>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) since: MonotonicTime,
}

/// The clients of each lane: true if they have sent something, their scope, true if they are anonymous.
pub(super) const LANES: [(bool, Scope, bool); 8] = [
    (true, Scope::Local, true),
    (true, Scope::Local, false),
    (true, Scope::Network, true),
    (true, Scope::Network, false),
    (false, Scope::Local, true),
    (false, Scope::Local, false),
    (false, Scope::Network, true),
    (false, Scope::Network, false),
];

/// Returns the lanes of a client: the one after it has sent something, and the one before.
pub(super) fn lanes_of(client: PendingClient) -> [usize; 2] {
    let lane = 2 * client.peer.scope() as usize + usize::from(!client.anonymous);
    [lane, lane + 4]
}

impl Lanes {
    /// Returns the number of waiting clients.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    /// Returns each lane with the kind of its clients, as in [`LANES`].
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Lane, (bool, Scope, bool))> {
        self.lanes.iter().zip(LANES)
    }

    pub(super) fn lane(&self, lane: usize) -> &Lane {
        &self.lanes[lane]
    }

    /// Adds a client that has sent nothing.
    pub(super) fn add(&mut self, now: MonotonicTime, id: u64, client: PendingClient) {
        let [_, silent] = lanes_of(client);
        self.push(silent, now, id, client.peer);
    }

    /// Records that a client has sent something. Does nothing if it has sent something before, or does not wait.
    pub(super) fn spoke(&mut self, now: MonotonicTime, id: u64) {
        let Some(&(lane, peer)) = self.places.get(&id) else {
            return;
        };
        if let (false, ..) = LANES[lane] {
            self.remove(id);
            self.push(lane - 4, now, id, peer);
        }
    }

    fn push(&mut self, lane: usize, since: MonotonicTime, id: u64, peer: Peer) {
        let queue = self.lanes[lane].0.entry(peer).or_default();
        queue.push_back(Waiting { id, since });
        self.places.insert(id, (lane, peer));
    }

    /// Removes a client; returns `false` if there is no such client.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some((lane, peer)) = self.places.remove(&id) else {
            return false;
        };
        if let Some(queue) = self.lanes[lane].0.get_mut(&peer) {
            queue.retain(|waiting| waiting.id != id);
            if queue.is_empty() {
                self.lanes[lane].0.remove(&peer);
            }
        }
        true
    }

    /// Removes one client of the peer that has the most of them, and returns it: the one that has been silent for
    /// longest or, if none is silent, the last one.
    pub(super) fn reject(&mut self) -> Option<u64> {
        let mut counts: BTreeMap<Peer, usize> = BTreeMap::new();
        for (peer, queue) in self.lanes.iter().flat_map(|lane| &lane.0) {
            *counts.entry(*peer).or_default() += queue.len();
        }
        let (peer, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let of_peer = |speaks| {
            let lanes = self.iter();
            let lanes = lanes.filter(move |(_, (speaks_here, ..))| *speaks_here == speaks);
            lanes.filter_map(move |(lane, _)| lane.0.get(&peer))
        };
        let order = |waiting: &&Waiting| (waiting.since, waiting.id);
        let longest_silent = of_peer(false).filter_map(VecDeque::front).min_by_key(order);
        let last_speaking = || of_peer(true).filter_map(VecDeque::back).max_by_key(order);
        let rejected = longest_silent.or_else(last_speaking)?.id;
        self.remove(rejected);
        Some(rejected)
    }
}

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first client of each peer.
    pub(super) fn fronts(&self) -> impl Iterator<Item = (Peer, Waiting)> {
        let queues = self.0.iter();
        queues.filter_map(|(peer, queue)| Some((*peer, *queue.front()?)))
    }
}
