//! The queues of waiting clients.

use super::{Peer, PendingClient, Scope};
use eventry::MonotonicTime;
use std::collections::{BTreeMap, VecDeque};

/// The waiting clients that need the same kind of slot, and of which either all or none have sent something.
#[derive(Debug, Default)]
pub(super) struct Lane(pub(super) BTreeMap<Peer, VecDeque<Waiting>>);

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

impl Lane {
    pub(super) fn fronts(&self) -> impl Iterator<Item = &Waiting> {
        self.0.values().filter_map(VecDeque::front)
    }
}
