//! The queues of waiting clients.

use super::{Peer, PendingClient, Scope};
use eventry::MonotonicTime;
use std::collections::{BTreeMap, VecDeque};

/// All waiting clients.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: [Lane; 8],
    /// The lane and the peer of each client.
    places: BTreeMap<u64, (usize, Peer)>,
    /// The turn of the next client that is put into a queue.
    next_turn: u64,
    /// The clients that have sent something since the last [`take_unreported`](Self::take_unreported).
    unreported: VecDeque<u64>,
}

/// The waiting clients that need the same kind of slot, and of which either all or none have sent something: a queue
/// for each peer.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) scope: Scope,
    pub(super) anonymous: bool,
    /// The clients have sent something.
    pub(super) speaks: bool,
    queues: BTreeMap<Peer, VecDeque<Waiting>>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: u64,
    since: MonotonicTime,
    turn: u64,
}

/// The first client of a peer in one lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: u64,
    /// The time of the first bytes; of the connection if the client is silent.
    pub(super) since: MonotonicTime,
    /// The position in the order of `since` over all lanes, which has no equal ones.
    pub(super) turn: u64,
    pub(super) client: PendingClient,
    pub(super) speaks: bool,
}

/// Returns the index of the lane of a client that has sent something or not.
fn lane_of(client: PendingClient, speaks: bool) -> usize {
    2 * client.peer.scope() as usize + usize::from(client.anonymous) + if speaks { 4 } else { 0 }
}

impl Default for Lanes {
    fn default() -> Lanes {
        let lane = |index| Lane {
            scope: if index & 2 == 0 {
                Scope::Local
            } else {
                Scope::Network
            },
            anonymous: index & 1 != 0,
            speaks: index & 4 != 0,
            queues: BTreeMap::new(),
        };
        Lanes {
            lanes: std::array::from_fn(lane),
            places: BTreeMap::new(),
            next_turn: 0,
            unreported: VecDeque::new(),
        }
    }
}

impl Lanes {
    /// Returns the number of waiting clients.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// Returns the client if it is the first one of its peer in its lane.
    pub(super) fn front(&self, id: u64) -> Option<Candidate> {
        let (lane, peer) = *self.places.get(&id)?;
        let lane = &self.lanes[lane];
        let front = lane.candidate(peer, lane.queues.get(&peer)?)?;
        (front.id == id).then_some(front)
    }

    /// Adds a client that has sent nothing.
    pub(super) fn add(&mut self, now: MonotonicTime, id: u64, client: PendingClient) {
        self.push(lane_of(client, false), now, id, client.peer);
    }

    /// Records that a client has sent something. Does nothing if it has sent something before, or does not wait.
    pub(super) fn spoke(&mut self, now: MonotonicTime, id: u64) {
        let Some(&(lane, peer)) = self.places.get(&id) else {
            return;
        };
        let Lane {
            anonymous, speaks, ..
        } = self.lanes[lane];
        if !speaks {
            self.remove(id);
            let client = PendingClient { peer, anonymous };
            self.push(lane_of(client, true), now, id, peer);
            self.unreported.push_back(id);
        }
    }

    fn push(&mut self, lane: usize, since: MonotonicTime, id: u64, peer: Peer) {
        let queue = self.lanes[lane].queues.entry(peer).or_default();
        let turn = self.next_turn;
        self.next_turn += 1;
        queue.push_back(Waiting { id, since, turn });
        self.places.insert(id, (lane, peer));
    }

    /// Returns the next client that has sent something and waits. Returns each client once.
    pub(super) fn take_unreported(&mut self) -> Option<(u64, PendingClient)> {
        while let Some(id) = self.unreported.pop_front() {
            if let Some(&(lane, peer)) = self.places.get(&id) {
                let anonymous = self.lanes[lane].anonymous;
                return Some((id, PendingClient { peer, anonymous }));
            }
        }
        None
    }

    /// Removes a client; returns `false` if there is no such client.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some((lane, peer)) = self.places.remove(&id) else {
            return false;
        };
        let queues = &mut self.lanes[lane].queues;
        if let Some(queue) = queues.get_mut(&peer) {
            queue.retain(|waiting| waiting.id != id);
            if queue.is_empty() {
                queues.remove(&peer);
            }
        }
        true
    }

    /// Removes one client of the peer that has the most of them, and returns it. It is of the kind of slot for which the
    /// most clients of this peer wait: the one that has been silent for longest or, if none is silent, the last one.
    pub(super) fn reject(&mut self) -> Option<u64> {
        // By peer: the clients that need no anonymous slot, and those that do.
        let mut counts: BTreeMap<Peer, [usize; 2]> = BTreeMap::new();
        for lane in &self.lanes {
            for (peer, queue) in &lane.queues {
                counts.entry(*peer).or_default()[usize::from(lane.anonymous)] += queue.len();
            }
        }
        let (peer, [plain, anonymous]) = counts
            .into_iter()
            .max_by_key(|(_, counts)| counts.iter().sum::<usize>())?;
        let anonymous = anonymous > plain;
        let queue = |speaks| {
            let lane = lane_of(PendingClient { peer, anonymous }, speaks);
            self.lanes[lane].queues.get(&peer)
        };
        let longest_silent = queue(false).and_then(VecDeque::front);
        let last_speaking = || queue(true).and_then(VecDeque::back);
        let rejected = longest_silent.or_else(last_speaking)?.id;
        self.remove(rejected);
        Some(rejected)
    }
}

impl Lane {
    /// Returns the number of clients.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Returns the first client of each peer.
    pub(super) fn fronts(&self) -> impl Iterator<Item = Candidate> {
        let queues = self.queues.iter();
        queues.filter_map(|(peer, queue)| self.candidate(*peer, queue))
    }

    /// Returns the first client of a peer, of which this is the queue.
    fn candidate(&self, peer: Peer, queue: &VecDeque<Waiting>) -> Option<Candidate> {
        let Waiting { id, since, turn } = *queue.front()?;
        let anonymous = self.anonymous;
        Some(Candidate {
            id,
            since,
            turn,
            client: PendingClient { peer, anonymous },
            speaks: self.speaks,
        })
    }
}
