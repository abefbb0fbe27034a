//! The armed timeouts, ordered by deadline.
//!
//! The order is kept by a radix tree with lazy correction. To postpone a deadline, which is the most frequent
//! operation on idle timers, and to disarm a timeout cost O(1) and do not change the tree: a node that is too
//! early, or superseded, is corrected when it becomes the first one. Superseded nodes are removed before they
//! outnumber the others.
//!
//! A turn begins by moving the nodes that are due out of the tree and sorting them. A timeout that is armed in the turn
//! gets a node in the tree, so it is not due in this turn.

use super::radix::{Node, RadixTree};
use crate::time::MonotonicTime;
use std::fmt;
use std::hint::black_box;

/// The deadline of a timeout, and the low 32 bits of the number of its arming: of two timeouts with the same deadline,
/// the one armed first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) deadline: MonotonicTime,
    pub(super) armed: u32,
}

/// The part of a timeout that the order needs.
#[derive(Clone)]
pub(super) struct Alarm {
    /// The deadline; valid while the alarm is armed.
    deadline: MonotonicTime,
    /// The number of the latest arming.
    armed: u32,
    /// The number of the arming in the one node that represents the alarm, which distinguishes it from superseded
    /// nodes; or [`UNARMED`]. The key of that node is not later than the deadline.
    node: u32,
}

/// The number of no arming: of an alarm that no node represents.
const UNARMED: u32 = 0;

/// A collection of alarms by slot.
pub(super) trait Alarms {
    fn alarm(&self, slot: u32) -> Option<&Alarm>;
    fn alarm_mut(&mut self, slot: u32) -> Option<&mut Alarm>;

    /// Reads everything that a call needs from the slot, and returns a number that depends on it.
    fn read(&self, slot: u32) -> u64;
}

#[derive(Clone, Debug)]
pub(super) struct Deadlines {
    tree: RadixTree,
    /// The nodes that were due when the turn began, the first one at the end. The nodes of the timeouts that were taken
    /// stay until the others are taken: a timeout that its callback disables then needs no other node.
    due: Vec<Node>,
    /// The number of the due nodes that were not taken.
    left: usize,
    /// The number of armed alarms.
    alarms: usize,
}

/// The number of superseded nodes that are kept with any number of alarms.
const SLACK: usize = 16;

/// The number of alarms that are read ahead.
const READ_AHEAD: usize = 16;

/// The number of due nodes for which memory is kept from turn to turn.
const KEPT: usize = 1024;

/// Returns the number of the arming after the one with this number. No arming has the number that stands for none.
#[inline]
pub(super) fn next_arming(armed: u64) -> u64 {
    let next = armed + 1;
    next + u64::from(next as u32 == UNARMED)
}

impl Alarm {
    pub(super) const fn new() -> Alarm {
        Alarm {
            deadline: MonotonicTime::FAR_FUTURE,
            armed: UNARMED,
            node: UNARMED,
        }
    }

    fn is_armed(&self) -> bool {
        self.node != UNARMED
    }

    /// Returns the deadline if the alarm is armed.
    pub(super) fn due(&self) -> Option<Due> {
        self.is_armed().then_some(Due {
            deadline: self.deadline,
            armed: self.armed,
        })
    }

    fn is_represented_by(&self, node: &Node) -> bool {
        self.node == node.armed
    }

    /// Returns whether the node has the deadline of the latest arming.
    fn is_current(&self) -> bool {
        self.node == self.armed
    }

    /// Returns the deadline of the latest arming.
    pub(super) fn latest_deadline(&self) -> MonotonicTime {
        self.deadline
    }

    /// Creates the node that represents the alarm from now on.
    fn make_node(&mut self, slot: u32) -> Node {
        self.node = self.armed;
        Node {
            key: self.deadline,
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
    /// Creates an empty order, which examines up to `longest` nodes for the first one.
    pub(super) fn new(longest: usize) -> Deadlines {
        Deadlines {
            tree: RadixTree::new(longest),
            due: Vec::new(),
            left: 0,
            alarms: 0,
        }
    }

    /// Arms the timeout in `slot`, or changes its deadline if it is armed. Armings must be numbered in ascending
    /// order, by [`next_arming`].
    #[inline]
    pub(super) fn arm(&mut self, slot: u32, alarm: &mut Alarm, due: Due) {
        let is_new = !alarm.is_armed();
        let is_nearer = due.deadline < alarm.deadline;
        (alarm.deadline, alarm.armed) = (due.deadline, due.armed);
        if is_new || is_nearer {
            self.tree.push(alarm.make_node(slot));
        }
        self.alarms += usize::from(is_new);
    }

    /// Disarms a timeout. Does nothing if it is not armed.
    #[inline]
    pub(super) fn disarm(&mut self, alarm: &mut Alarm) {
        self.alarms -= usize::from(alarm.is_armed());
        alarm.node = UNARMED;
    }

    /// Returns whether superseded nodes outnumber the others, so that a [`sweep`](Deadlines::sweep) is due.
    #[inline]
    pub(super) fn needs_sweep(&self) -> bool {
        self.tree.len() > 2 * self.alarms + SLACK
    }

    /// Removes all superseded nodes. The cost is linear in the number of nodes; at least half as many armings and
    /// disarmings precede each sweep.
    pub(super) fn sweep(&mut self, alarms: &impl Alarms) {
        self.tree.retain(|node| {
            let alarm = alarms.alarm(node.slot);
            alarm.is_some_and(|alarm| alarm.is_represented_by(node))
        });
    }

    /// Begins a turn at `now`. `armed` is the number of the latest arming.
    #[inline]
    pub(super) fn begin_turn(&mut self, now: MonotonicTime, armed: u64, alarms: &mut impl Alarms) {
        self.refile_taken(alarms);
        // Many turns have no due timeout.
        if self.tree.first().is_some_and(|first| first.key <= now) {
            self.tree.take_due(now, &mut self.due);
        }
        if !self.due.is_empty() {
            self.correct_due(now, armed, alarms);
        }
    }

    /// Corrects the nodes that are due, and sorts them.
    fn correct_due(&mut self, now: MonotonicTime, armed: u64, alarms: &mut impl Alarms) {
        let tree = &mut self.tree;
        self.due.retain_mut(|node| {
            let alarm = alarms.alarm_mut(node.slot);
            let Some(alarm) = alarm.filter(|alarm| alarm.is_represented_by(node)) else {
                return false;
            };
            *node = alarm.make_node(node.slot);
            let is_due = node.key <= now;
            if !is_due {
                tree.push(*node);
            }
            is_due
        });
        self.due.sort_unstable_by_key(|node| node.rank(armed));
        self.left = self.due.len();
    }

    /// Takes the first timeout that is due in this turn, and returns its slot and its deadline. The caller arms or
    /// disarms it.
    #[inline]
    pub(super) fn take_due(&mut self, alarms: &mut impl Alarms) -> Option<(u32, MonotonicTime)> {
        if self.due.is_empty() {
            return None;
        }
        if self.left % READ_AHEAD == 0 {
            self.read_ahead(alarms);
        }
        let Some(first) = self.first_due(alarms) else {
            self.refile_taken(alarms);
            return None;
        };
        self.left -= 1;
        Some(first)
    }

    /// Moves the nodes of the timeouts that were taken, or were armed again before, back to the tree.
    #[inline]
    fn refile_taken(&mut self, alarms: &mut impl Alarms) {
        if self.due.len() > self.left {
            self.refile(alarms);
        }
    }

    /// Moves the due nodes after the ones that are left back to the tree.
    fn refile(&mut self, alarms: &mut impl Alarms) {
        for node in self.due.drain(self.left..) {
            let alarm = alarms.alarm_mut(node.slot);
            if let Some(alarm) = alarm.filter(|alarm| alarm.is_represented_by(&node)) {
                self.tree.push(alarm.make_node(node.slot));
            }
        }
        self.due.shrink_to(KEPT);
    }

    /// Reads the alarms that are needed next in one batch. They are scattered in memory, and several cache misses at
    /// once take no longer than one.
    fn read_ahead(&self, alarms: &impl Alarms) {
        let next = self.due[..self.left].iter().rev().take(READ_AHEAD);
        black_box(next.fold(0, |read, node| read ^ alarms.read(node.slot)));
    }

    /// Returns the slot of the first timeout that is due in this turn, and its deadline.
    #[inline]
    fn first_due(&mut self, alarms: &impl Alarms) -> Option<(u32, MonotonicTime)> {
        while let Some(node) = self.due[..self.left].last() {
            let alarm = alarms.alarm(node.slot);
            if let Some(alarm) = alarm.filter(|alarm| alarm.is_represented_by(node)) {
                if alarm.is_current() {
                    return Some((node.slot, alarm.deadline));
                }
            }
            self.left -= 1;
        }
        None
    }

    /// Returns the first deadline if it is not after `limit`. No node is corrected that is after `limit`.
    pub(super) fn first_until(
        &mut self,
        limit: MonotonicTime,
        alarms: &mut impl Alarms,
    ) -> Option<MonotonicTime> {
        if let Some((_, deadline)) = self.first_due(alarms) {
            // The others were not due when the turn began, or were armed later.
            return Some(deadline).filter(|deadline| *deadline <= limit);
        }
        self.refile_taken(alarms);
        loop {
            let node = self.tree.first().filter(|node| node.key <= limit)?;
            let alarm = alarms.alarm_mut(node.slot);
            let alarm = alarm.filter(|alarm| alarm.is_represented_by(&node));
            let corrected = match alarm {
                None => None,
                Some(alarm) if alarm.is_current() => return Some(node.key),
                Some(alarm) => Some(alarm.make_node(node.slot)),
            };
            self.tree.pop_first();
            if let Some(node) = corrected {
                self.tree.push(node);
            }
        }
    }

    /// Returns whether due timeouts are left in the turn, some of which may have been changed since it began.
    pub(super) fn has_due(&self) -> bool {
        self.left > 0
    }

    pub(super) fn len(&self) -> usize {
        self.alarms
    }

    /// Returns whether the nodes are in order, exactly one of them represents each armed timeout and is not later
    /// than its deadline, and superseded nodes do not outnumber the others.
    pub(super) fn is_consistent(&self, alarms: &impl Alarms) -> bool {
        let Some(nodes) = self.tree.nodes() else {
            return false;
        };
        let representing = nodes.iter().chain(&self.due).filter(|node| {
            let alarm = alarms.alarm(node.slot);
            alarm.is_some_and(|alarm| alarm.is_represented_by(node) && node.key <= alarm.deadline)
        });
        let pairs = self.due[..self.left].windows(2);
        representing.count() == self.alarms
            && pairs.into_iter().all(|pair| !pair[0].is_before(&pair[1]))
            && self.tree.len() <= 2 * self.alarms + SLACK
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

        fn read(&self, slot: u32) -> u64 {
            slot.into()
        }
    }

    fn due(deadline: u64, armed: u32) -> Due {
        Due {
            deadline: MonotonicTime::from_nanos(deadline),
            armed,
        }
    }

    fn at(nanos: u64) -> MonotonicTime {
        MonotonicTime::from_nanos(nanos)
    }

    fn first(deadlines: &mut Deadlines, alarms: &mut Vec<Alarm>) -> Option<MonotonicTime> {
        deadlines.first_until(MonotonicTime::FAR_FUTURE, alarms)
    }

    // EV-506: both were armed before the turn.
    #[test]
    fn take_due_returns_timeouts_armed_again_before_the_turn() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::new(1);
        deadlines.arm(0, &mut alarms[0], due(5, 1));
        deadlines.arm(1, &mut alarms[1], due(5, 2));
        deadlines.arm(0, &mut alarms[0], due(5, 3));
        deadlines.begin_turn(at(5), 3, &mut alarms);
        assert_eq!(deadlines.take_due(&mut alarms), Some((1, at(5))));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(deadlines.take_due(&mut alarms), Some((0, at(5))));
        deadlines.disarm(&mut alarms[0]);
        assert_eq!(deadlines.take_due(&mut alarms), None);
    }

    #[test]
    fn first_returns_a_postponed_timeout_after_the_others() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::new(1);
        deadlines.arm(0, &mut alarms[0], due(5, 1));
        deadlines.arm(1, &mut alarms[1], due(7, 2));
        deadlines.arm(0, &mut alarms[0], due(9, 3));
        assert_eq!(first(&mut deadlines, &mut alarms), Some(at(7)));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(first(&mut deadlines, &mut alarms), Some(at(9)));
    }

    #[test]
    fn first_returns_the_latest_representable_deadline() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::new(1);
        deadlines.arm(0, &mut alarms[0], due(u64::MAX, 1));
        deadlines.arm(1, &mut alarms[1], due(u64::MAX - 1, 2));
        assert!(deadlines.is_consistent(&alarms));
        assert_eq!(first(&mut deadlines, &mut alarms), Some(at(u64::MAX - 1)));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(first(&mut deadlines, &mut alarms), Some(at(u64::MAX)));
    }

    #[test]
    fn next_arming_skips_the_number_of_none() {
        assert_eq!(next_arming(0), 1);
        assert_eq!(next_arming(u64::from(u32::MAX) - 1), u64::from(u32::MAX));
        assert_eq!(next_arming(u64::from(u32::MAX)), (1 << 32) + 1);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Arm(u64),
        Disarm,
        BeginTurn(u64),
        TakeDue(Option<u64>),
        Peek(u64),
    }

    /// Returns times that differ in one of all digits.
    fn time() -> impl Strategy<Value = u64> {
        (0..60_u64, 0..12_u32).prop_map(|(number, digit)| number << (5 * digit))
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            12 => time().prop_map(Op::Arm),
            4 => Just(Op::Disarm),
            1 => time().prop_map(Op::BeginTurn),
            4 => proptest::option::of(time()).prop_map(Op::TakeDue),
            2 => time().prop_map(Op::Peek),
        ]
    }

    proptest! {
        /// Compares the order with a list of deadlines. As in the table, no timeout is armed with a deadline before
        /// the latest turn, and turns may be abandoned.
        #[test]
        fn the_first_is_the_minimum_over_all_armed(
            longest in 1..4_usize,
            ops in proptest::collection::vec((0_u32..40, op()), 0..400),
        ) {
            let mut alarms = vec![Alarm::new(); 40];
            let mut deadlines = Deadlines::new(longest);
            let mut model = BTreeMap::new();
            let (mut now, mut begun) = (0, 0);
            for (armed, (slot, op)) in (1..).zip(ops) {
                let alarm = &mut alarms[slot as usize];
                let least = |model: &BTreeMap<u32, Due>, armed: u32| {
                    let due = model.iter().filter(|(_, due)| due.armed <= armed && due.deadline <= at(now));
                    due.map(|(slot, due)| (*slot, *due)).min_by_key(|(_, due)| *due)
                };
                match op {
                    Op::Arm(deadline) => {
                        let due = due(deadline.max(now), armed);
                        deadlines.arm(slot, alarm, due);
                        model.insert(slot, due);
                    }
                    Op::Disarm => {
                        deadlines.disarm(alarm);
                        model.remove(&slot);
                    }
                    Op::BeginTurn(time) => {
                        (now, begun) = (time.max(now), armed);
                        deadlines.begin_turn(at(now), armed.into(), &mut alarms);
                    }
                    Op::TakeDue(again) => {
                        let expected = least(&model, begun).map(|(slot, due)| (slot, due.deadline));
                        prop_assert_eq!(deadlines.take_due(&mut alarms), expected);
                        if let Some((slot, _)) = expected {
                            let alarm = &mut alarms[slot as usize];
                            match again.map(|deadline| due(deadline.max(now), armed)) {
                                Some(due) => {
                                    deadlines.arm(slot, alarm, due);
                                    model.insert(slot, due);
                                }
                                None => {
                                    deadlines.disarm(alarm);
                                    model.remove(&slot);
                                }
                            }
                        }
                    }
                    Op::Peek(limit) => {
                        let all = model.values().map(|due| due.deadline);
                        let first = all.min().filter(|first| *first <= at(limit));
                        prop_assert_eq!(deadlines.first_until(at(limit), &mut alarms), first);
                    }
                }
                if deadlines.needs_sweep() {
                    deadlines.sweep(&alarms);
                }
                prop_assert!(deadlines.is_consistent(&alarms));
                prop_assert_eq!(deadlines.len(), model.len());
                prop_assert_eq!(alarms[slot as usize].due(), model.get(&slot).copied());
            }
        }
    }
}
