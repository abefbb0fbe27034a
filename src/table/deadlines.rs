//! The armed timeouts, ordered by deadline.
//!
//! The order is kept by a heap with lazy correction. To postpone a deadline, which is the most frequent
//! operation on idle timers, and to disarm a timeout cost O(1) and do not change the heap: a node that is too
//! early, or superseded, is corrected when it becomes the first one. Superseded nodes are removed before they
//! outnumber the others.
//!
//! When many timeouts are due at once, their nodes are gathered: they are removed from the heap together and
//! sorted. That is several times cheaper than to remove the first one repeatedly.

use super::heap::{Heap, Node};
use crate::time::MonotonicTime;
use std::fmt;
use std::hint::black_box;

/// The deadline of a timeout, and the number of its arming: of two timeouts with the same deadline, the one armed
/// first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) deadline: MonotonicTime,
    pub(super) armed: u64,
}

/// The part of a timeout that the order needs.
#[derive(Clone)]
pub(super) struct Alarm {
    /// The deadline; valid while the alarm is armed.
    due: Due,
    /// The key of the one node that represents the alarm, never later than the deadline; or
    /// [`MonotonicTime::FAR_FUTURE`] if the alarm is not armed.
    key: MonotonicTime,
    /// The number of the arming in that node, which distinguishes it from superseded nodes.
    node: u32,
}

/// A collection of alarms by slot.
pub(super) trait Alarms {
    fn alarm(&self, slot: u32) -> Option<&Alarm>;
    fn alarm_mut(&mut self, slot: u32) -> Option<&mut Alarm>;
}

#[derive(Clone, Debug)]
pub(super) struct Deadlines {
    heap: Heap,
    /// The gathered nodes, the first one at the end.
    gathered: Vec<Node>,
    /// The least number of timeouts that a turn takes from the heap one by one before it gathers the others.
    gather_threshold: usize,
    /// The number of timeouts that this turn still takes one by one before it gathers the others.
    until_gather: usize,
    /// The index in `gathered` from which on the alarms of the nodes have been read ahead.
    read_ahead: usize,
    /// The number of armed alarms.
    alarms: usize,
}

/// The number of alarms that are read ahead.
const READ_AHEAD: usize = 16;

/// The latest key of a node. The key after it means that an alarm is not armed.
pub(super) const LATEST: MonotonicTime = MonotonicTime::from_nanos(u64::MAX - 1);

impl Alarm {
    pub(super) const fn new() -> Alarm {
        Alarm {
            due: Due {
                deadline: MonotonicTime::FAR_FUTURE,
                armed: 0,
            },
            key: MonotonicTime::FAR_FUTURE,
            node: 0,
        }
    }

    fn is_armed(&self) -> bool {
        self.key != MonotonicTime::FAR_FUTURE
    }

    /// Returns the deadline if the alarm is armed.
    pub(super) fn due(&self) -> Option<Due> {
        self.is_armed().then_some(self.due)
    }

    fn is_represented_by(&self, node: &Node) -> bool {
        self.key == node.key && self.node == node.armed
    }

    /// Creates the node that represents the alarm from now on.
    fn make_node(&mut self, slot: u32) -> Node {
        self.key = self.due.deadline.min(LATEST);
        self.node = self.due.armed as u32;
        Node {
            key: self.key,
            armed: self.node,
            slot,
        }
    }
}

/// Shows the deadline only: the node is an implementation detail of the order.
impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").field(&self.due()).finish()
    }
}

impl Deadlines {
    /// Creates an empty order. If a turn calls more timeouts than `gather_threshold`, it gathers the others.
    pub(super) fn new(gather_threshold: usize) -> Deadlines {
        Deadlines {
            heap: Heap::default(),
            gathered: Vec::new(),
            gather_threshold,
            until_gather: 0,
            read_ahead: 0,
            alarms: 0,
        }
    }

    /// Arms the timeout in `slot`, or changes its deadline if it is armed. Armings must be numbered in ascending
    /// order.
    pub(super) fn arm(&mut self, slot: u32, alarm: &mut Alarm, due: Due) {
        alarm.due = due;
        let is_new = !alarm.is_armed();
        if is_new || due.deadline < alarm.key {
            self.heap.push(alarm.make_node(slot));
        }
        self.alarms += usize::from(is_new);
    }

    /// Disarms a timeout. Does nothing if it is not armed.
    pub(super) fn disarm(&mut self, alarm: &mut Alarm) {
        self.alarms -= usize::from(alarm.is_armed());
        alarm.key = MonotonicTime::FAR_FUTURE;
    }

    /// Returns whether superseded nodes outnumber the others, so that a [`sweep`](Deadlines::sweep) is due.
    pub(super) fn needs_sweep(&self) -> bool {
        self.node_count() > 2 * self.alarms
    }

    /// Removes all superseded nodes. The cost is linear in the number of nodes; at least half as many armings and
    /// disarmings precede each sweep.
    pub(super) fn sweep(&mut self, alarms: &impl Alarms) {
        let is_current = |node: &Node| {
            let alarm = alarms.alarm(node.slot);
            alarm.is_some_and(|alarm| alarm.is_represented_by(node))
        };
        self.heap.retain(|node| is_current(&node));
        self.gathered.retain(is_current);
    }

    /// Begins a turn.
    pub(super) fn begin_turn(&mut self) {
        self.until_gather = self.gather_threshold + self.heap.len() / 32;
    }

    /// Counts a call of a timeout that is due at `now`. If this turn has called many, gathers the others that are
    /// due. `armed` is the number of the latest arming.
    pub(super) fn count_call(&mut self, now: MonotonicTime, armed: u64) {
        match self.until_gather.checked_sub(1) {
            Some(left) => self.until_gather = left,
            None => {
                self.gather(now, armed);
                self.until_gather = usize::MAX;
            }
        }
    }

    fn gather(&mut self, now: MonotonicTime, armed: u64) {
        let gathered = &mut self.gathered;
        self.heap.retain(|node| {
            if node.key <= now {
                gathered.push(node);
            }
            node.key > now
        });
        gathered.sort_unstable_by_key(|node| node.rank(armed));
        self.read_ahead = gathered.len();
    }

    /// Returns whether a timeout may be due at `now`. It is fast, because it runs before each call of a turn.
    #[inline]
    pub(super) fn may_be_due(&self, now: MonotonicTime) -> bool {
        // No node has a key later than the deadline that it represents.
        self.heap.least_key() <= now || !self.gathered.is_empty()
    }

    /// Returns the slot of the timeout that is due first, and its deadline.
    pub(super) fn first(&mut self, alarms: &mut impl Alarms) -> Option<(u32, Due)> {
        loop {
            let node = self.first_node()?;
            self.read_ahead(alarms);
            let alarm = alarms.alarm_mut(node.slot);
            match alarm.filter(|alarm| alarm.is_represented_by(&node)) {
                None => self.pop_first_node(),
                Some(alarm) if alarm.due.armed as u32 == node.armed => {
                    return Some((node.slot, alarm.due));
                }
                Some(alarm) => self.replace_first_node(alarm.make_node(node.slot)),
            }
        }
    }

    /// Reads the alarms that are needed next in one batch, if there are many. They are scattered in memory, and
    /// several cache misses at once take no longer than one.
    #[inline]
    fn read_ahead(&mut self, alarms: &impl Alarms) {
        if self.gathered.len() > self.read_ahead || self.gathered.is_empty() {
            return;
        }
        self.read_ahead = self.gathered.len().saturating_sub(READ_AHEAD);
        let nodes = &self.gathered[self.read_ahead..];
        let alarms = nodes.iter().filter_map(|node| alarms.alarm(node.slot));
        black_box(alarms.fold(0, |read, alarm| read ^ alarm.key.as_nanos()));
    }

    /// Returns whether the first node is among the gathered ones.
    fn is_first_gathered(&self) -> bool {
        let gathered = self.gathered.last();
        gathered.is_some_and(|gathered| {
            let first = self.heap.first();
            first.is_none_or(|first| gathered.is_before(&first))
        })
    }

    fn first_node(&self) -> Option<Node> {
        if self.is_first_gathered() {
            self.gathered.last().copied()
        } else {
            self.heap.first()
        }
    }

    fn pop_first_node(&mut self) {
        if self.is_first_gathered() {
            self.pop_gathered();
        } else {
            self.heap.pop_first();
        }
    }

    fn pop_gathered(&mut self) {
        self.gathered.pop();
        if self.gathered.is_empty() {
            // The capacity may be large, and may not be needed again for a long time.
            self.gathered = Vec::new();
        }
    }

    /// Replaces the first node by a later one.
    fn replace_first_node(&mut self, node: Node) {
        if self.is_first_gathered() {
            self.pop_gathered();
            self.heap.push(node);
        } else {
            self.heap.replace_first(node);
        }
    }

    fn nodes(&self) -> impl Iterator<Item = Node> {
        self.heap.iter().chain(self.gathered.iter().copied())
    }

    fn node_count(&self) -> usize {
        self.heap.len() + self.gathered.len()
    }

    pub(super) fn len(&self) -> usize {
        self.alarms
    }

    /// Returns whether the nodes are in order, exactly one of them represents each armed timeout and is not later
    /// than its deadline, and superseded nodes do not outnumber the others.
    pub(super) fn is_consistent(&self, alarms: &impl Alarms) -> bool {
        let representing = self.nodes().filter(|node| {
            let alarm = alarms.alarm(node.slot);
            alarm.is_some_and(|alarm| {
                alarm.is_represented_by(node) && alarm.key <= alarm.due.deadline
            })
        });
        let pairs = self.gathered.windows(2);
        representing.count() == self.alarms
            && self.heap.is_consistent()
            && pairs.into_iter().all(|pair| !pair[0].is_before(&pair[1]))
            && self.heap.len() + self.gathered.len() <= 2 * self.alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Alarms for Vec<Alarm> {
        fn alarm(&self, slot: u32) -> Option<&Alarm> {
            self.get(slot as usize)
        }

        fn alarm_mut(&mut self, slot: u32) -> Option<&mut Alarm> {
            self.get_mut(slot as usize)
        }
    }

    fn due(deadline: u64, armed: u64) -> Due {
        Due {
            deadline: MonotonicTime::from_nanos(deadline),
            armed,
        }
    }

    #[test]
    fn first_returns_a_postponed_timeout_after_the_others() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::new(1);
        deadlines.arm(0, &mut alarms[0], due(5, 0));
        deadlines.arm(1, &mut alarms[1], due(7, 1));
        deadlines.arm(0, &mut alarms[0], due(9, 2));
        assert_eq!(deadlines.first(&mut alarms), Some((1, due(7, 1))));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(deadlines.first(&mut alarms), Some((0, due(9, 2))));
    }

    #[test]
    fn first_returns_the_latest_representable_deadline() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::new(1);
        deadlines.arm(0, &mut alarms[0], due(u64::MAX, 0));
        deadlines.arm(1, &mut alarms[1], due(u64::MAX - 1, 1));
        assert!(deadlines.is_consistent(&alarms));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(deadlines.first(&mut alarms), Some((0, due(u64::MAX, 0))));
    }

    proptest! {
        #[test]
        fn the_first_is_the_minimum_over_all_armed(
            steps in proptest::collection::vec((0u32..40, proptest::option::of(0u64..40), 0u64..200), 0..400)
        ) {
            let mut alarms = vec![Alarm::new(); 40];
            let mut deadlines = Deadlines::new(1);
            let mut model = BTreeMap::new();
            for (armed, (slot, deadline, gather)) in (0..).zip(steps) {
                let alarm = &mut alarms[slot as usize];
                match deadline {
                    Some(deadline) => {
                        deadlines.arm(slot, alarm, due(deadline, armed));
                        model.insert(slot, due(deadline, armed));
                    }
                    None => {
                        deadlines.disarm(alarm);
                        model.remove(&slot);
                    }
                }
                if deadlines.needs_sweep() {
                    deadlines.sweep(&alarms);
                }
                if gather < 40 {
                    deadlines.gather(MonotonicTime::from_nanos(gather), armed);
                }
                prop_assert!(deadlines.is_consistent(&alarms));
                prop_assert_eq!(deadlines.len(), model.len());
                let first = model.iter().map(|(slot, due)| (*slot, *due)).min_by_key(|(_, due)| *due);
                prop_assert_eq!(deadlines.first(&mut alarms), first);
                prop_assert!(deadlines.is_consistent(&alarms));
                prop_assert_eq!(alarms[slot as usize].due(), model.get(&slot).copied());
            }
        }
    }
}
