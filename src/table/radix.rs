//! A radix tree of the deadlines, which is refined only where the first deadline is looked for.
//!
//! A leaf is an unordered vector, so an addition takes constant time. Only when the first deadline is wanted, a long
//! first leaf is distributed over the 64 leaves of a new branch, by the highest digit in which its deadlines differ.
//! A digit has six bits, so that happens to a node at most eleven times, and to most nodes once or never.

use crate::time::MonotonicTime;
use std::fmt;

/// One element of the order of deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) key: MonotonicTime,
    /// The low 32 bits of the number of the arming. They order nodes with equal keys, the older first. Two nodes
    /// that are 2³¹ armings apart may be in the wrong order, which has no other effect.
    pub(super) armed: u32,
    pub(super) slot: u32,
}

impl Node {
    pub(super) fn is_before(&self, other: &Node) -> bool {
        let age = other.armed.wrapping_sub(self.armed) as i32;
        self.key < other.key || self.key == other.key && age > 0
    }

    /// Returns a sort key that puts the first node last. Unlike [`is_before`](Node::is_before), it is a total order
    /// among the nodes that were armed before the arming with this number.
    pub(super) fn rank(&self, armed: u64) -> (std::cmp::Reverse<MonotonicTime>, u32) {
        let age = (armed as u32).wrapping_sub(self.armed);
        (std::cmp::Reverse(self.key), age)
    }
}

/// The number of nodes for which an empty leaf keeps memory.
const KEPT: usize = 4;

/// The number of bits of a digit.
const DIGIT: u32 = 6;

#[derive(Clone)]
enum Link {
    Leaf(Vec<Node>),
    Branch(Box<Branch>),
}

/// The nodes whose keys have all digits above one digit in common, by this digit. It is not empty.
#[derive(Clone)]
struct Branch {
    /// A key that belongs to the branch.
    sample: u64,
    /// The number of bits below the digit.
    shift: u32,
    /// The links in use, one bit each.
    occupied: u64,
    links: [Link; 1 << DIGIT],
}

#[derive(Clone)]
pub(super) struct RadixTree {
    root: Link,
    len: usize,
    /// The least node, if it is known.
    first: Option<Node>,
    /// The number of nodes beyond which a first leaf is distributed.
    longest: usize,
}

impl Branch {
    /// Creates a branch for keys that differ from `sample` in the bits `difference` at most.
    fn new(sample: u64, difference: u64) -> Box<Branch> {
        Box::new(Branch {
            sample,
            shift: difference.ilog2() / DIGIT * DIGIT,
            occupied: 0,
            links: [const { Link::Leaf(Vec::new()) }; 1 << DIGIT],
        })
    }

    #[inline]
    fn contains(&self, key: u64) -> bool {
        (key ^ self.sample) >> self.shift < 1 << DIGIT
    }

    /// Returns the link for a key that belongs to the branch.
    #[inline]
    fn link_of(&mut self, key: u64) -> &mut Link {
        let digit = (key >> self.shift) as usize % (1 << DIGIT);
        self.occupied |= 1 << digit;
        &mut self.links[digit]
    }

    /// Returns the digit of the first link in use.
    fn first(&self) -> usize {
        self.occupied.trailing_zeros() as usize
    }

    /// Returns the earliest key with this digit.
    fn earliest(&self, digit: usize) -> u64 {
        let above = self.sample >> self.shift & !((1 << DIGIT) - 1);
        (above | digit as u64) << self.shift
    }

    /// Takes the link with this digit out of use if it is empty, and returns whether it is.
    fn vacate_empty(&mut self, digit: usize) -> bool {
        let Link::Leaf(nodes) = &mut self.links[digit] else {
            return false;
        };
        if nodes.is_empty() {
            self.occupied &= !(1 << digit);
            nodes.shrink_to(KEPT);
        }
        nodes.is_empty()
    }
}

impl Default for Link {
    fn default() -> Link {
        Link::Leaf(Vec::new())
    }
}

impl Link {
    /// Inserts a branch above this one if `key` does not belong to it.
    #[inline]
    fn make_room(&mut self, key: u64) {
        match self {
            Link::Branch(branch) if !branch.contains(key) => {
                let sample = branch.sample;
                let below = std::mem::take(self);
                let mut above = Branch::new(sample, sample ^ key);
                *above.link_of(sample) = below;
                *self = Link::Branch(above);
            }
            _ => {}
        }
    }

    fn push(&mut self, node: Node) {
        let key = node.key.as_nanos();
        let mut link = self;
        loop {
            link.make_room(key);
            match link {
                Link::Leaf(nodes) => return nodes.push(node),
                Link::Branch(branch) => link = branch.link_of(key),
            }
        }
    }

    /// Returns the leaf with the first nodes.
    fn first_leaf(&mut self) -> &mut Link {
        let mut link = self;
        while let Link::Branch(branch) = link {
            link = &mut branch.links[branch.occupied.trailing_zeros() as usize];
        }
        link
    }

    /// Removes the least node, which is `first`.
    fn remove_first(&mut self, first: Node) {
        match self {
            Link::Leaf(nodes) => {
                let at = nodes.iter().position(|node| *node == first);
                at.map(|at| nodes.swap_remove(at));
            }
            Link::Branch(branch) => {
                let digit = branch.first();
                branch.links[digit].remove_first(first);
                if branch.vacate_empty(digit) && branch.occupied == 0 {
                    *self = Link::default();
                }
            }
        }
    }

    /// Moves the nodes that are due at `now` to `due`.
    fn take_due(&mut self, now: MonotonicTime, due: &mut Vec<Node>) {
        match self {
            Link::Leaf(nodes) => {
                nodes.retain(|node| {
                    if node.key <= now {
                        due.push(*node);
                    }
                    node.key > now
                });
                nodes.shrink_to(KEPT.max(2 * nodes.len()));
            }
            Link::Branch(branch) => {
                while branch.occupied != 0 {
                    let digit = branch.first();
                    if branch.earliest(digit) > now.as_nanos() {
                        break;
                    }
                    branch.links[digit].take_due(now, due);
                    if !branch.vacate_empty(digit) {
                        break;
                    }
                }
                if branch.occupied == 0 {
                    *self = Link::default();
                }
            }
        }
    }

    fn retain(&mut self, keep: &mut impl FnMut(&Node) -> bool) {
        match self {
            Link::Leaf(nodes) => {
                nodes.retain(keep);
                nodes.shrink_to(2 * nodes.len());
            }
            Link::Branch(branch) => {
                for digit in 0..1 << DIGIT {
                    branch.links[digit].retain(keep);
                    branch.vacate_empty(digit);
                }
                self.shorten();
            }
        }
    }

    /// Replaces a branch with a single link by this link, and one without a link by an empty leaf.
    fn shorten(&mut self) {
        if let Link::Branch(branch) = self {
            if branch.occupied.count_ones() < 2 {
                let only = branch.first() % (1 << DIGIT);
                *self = std::mem::take(&mut branch.links[only]);
            }
        }
    }

    /// Appends the nodes to `all`, and returns whether all of them are where they belong.
    fn list(&self, all: &mut Vec<Node>) -> bool {
        let Link::Branch(branch) = self else {
            if let Link::Leaf(nodes) = self {
                all.extend(nodes);
            }
            return true;
        };
        let mut belong = branch.occupied != 0;
        for (digit, link) in branch.links.iter().enumerate() {
            let before = all.len();
            belong &= link.list(all);
            belong &= (all.len() > before) == (branch.occupied >> digit & 1 == 1);
            let earliest = branch.earliest(digit);
            let mut keys = all[before..].iter().map(|node| node.key.as_nanos());
            belong &= keys.all(|key| (key ^ earliest) >> branch.shift == 0);
        }
        belong
    }
}

impl RadixTree {
    /// Creates an empty tree, which examines up to `longest` nodes for the first one.
    pub(super) fn new(longest: usize) -> RadixTree {
        RadixTree {
            root: Link::default(),
            len: 0,
            first: None,
            longest,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, node: Node) {
        let is_first = match &self.first {
            Some(first) => node.is_before(first),
            None => self.len == 0,
        };
        if is_first {
            self.first = Some(node);
        }
        self.len += 1;
        self.root.push(node);
    }

    /// Returns the least node.
    #[inline]
    pub(super) fn first(&mut self) -> Option<Node> {
        if self.first.is_none() && self.len > 0 {
            self.first = self.find_first();
        }
        self.first
    }

    fn find_first(&mut self) -> Option<Node> {
        loop {
            let link = self.root.first_leaf();
            let Link::Leaf(nodes) = link else {
                return None;
            };
            if nodes.len() > self.longest {
                let sample = nodes[0].key.as_nanos();
                let differences = nodes.iter().map(|node| node.key.as_nanos() ^ sample);
                let difference = differences.fold(0, |all, difference| all | difference);
                if difference != 0 {
                    let mut branch = Branch::new(sample, difference);
                    for node in std::mem::take(nodes) {
                        branch.link_of(node.key.as_nanos()).push(node);
                    }
                    *link = Link::Branch(branch);
                    continue;
                }
            }
            let nodes = nodes.iter().copied();
            return nodes.reduce(|a, b| if b.is_before(&a) { b } else { a });
        }
    }

    /// Removes the least node.
    pub(super) fn pop_first(&mut self) {
        if let Some(first) = self.first() {
            self.root.remove_first(first);
            self.len -= 1;
            self.first = None;
        }
    }

    /// Moves the nodes that are due at `now` to `due`, in no particular order.
    pub(super) fn take_due(&mut self, now: MonotonicTime, due: &mut Vec<Node>) {
        let before = due.len();
        self.root.take_due(now, due);
        self.len -= due.len() - before;
        // The next search for the first node distributes a long first leaf, so that not every turn reads all of it.
        self.first = None;
    }

    /// Keeps the nodes for which `keep` returns true; it is called once per node. The cost is linear in the number
    /// of nodes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Node) -> bool) {
        let mut kept = 0;
        self.root.retain(&mut |node| {
            let keeps = keep(node);
            kept += usize::from(keeps);
            keeps
        });
        self.len = kept;
        self.first = None;
    }

    /// Returns the nodes in the order of the leaves, or `None` if the tree is inconsistent.
    pub(super) fn nodes(&self) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        let belong = self.root.list(&mut nodes);
        let is_first = |first: Node| nodes.iter().all(|node| !node.is_before(&first));
        let is_consistent = belong && nodes.len() == self.len && self.first.is_none_or(is_first);
        is_consistent.then_some(nodes)
    }
}

impl fmt::Debug for RadixTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.nodes().into_iter().flatten())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(key: u64, armed: u32) -> Node {
        Node {
            key: MonotonicTime::from_nanos(key),
            armed,
            slot: armed,
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u64),
        First,
        Pop,
        TakeDue(u64),
        RetainAfter(u64),
    }

    /// Returns keys that differ in one of all digits.
    fn key() -> impl Strategy<Value = u64> {
        (0..80_u64, 0..12_u32).prop_map(|(number, digit)| number << (5 * digit))
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            12 => key().prop_map(Op::Push),
            2 => Just(Op::First),
            4 => Just(Op::Pop),
            1 => key().prop_map(Op::TakeDue),
            1 => key().prop_map(Op::RetainAfter),
        ];
        prop::collection::vec(op, 0..200)
    }

    proptest! {
        #[test]
        fn tree_equals_a_sorted_list_after_every_operation(longest in 1..5_usize, ops in ops()) {
            let mut tree = RadixTree::new(longest);
            let mut list: Vec<Node> = Vec::new();
            for (armed, op) in (0..).zip(ops) {
                match op {
                    Op::Push(key) => {
                        tree.push(node(key, armed));
                        list.push(node(key, armed));
                        list.sort_by_key(|node| node.key);
                    }
                    Op::First => prop_assert_eq!(tree.first(), list.first().copied()),
                    Op::Pop => {
                        tree.pop_first();
                        list.drain(..list.len().min(1));
                    }
                    Op::TakeDue(now) => {
                        let now = MonotonicTime::from_nanos(now);
                        let mut due = Vec::new();
                        tree.take_due(now, &mut due);
                        due.sort_by_key(|node| std::cmp::Reverse(node.rank(armed.into())));
                        let later = list.partition_point(|node| node.key <= now);
                        let expected: Vec<Node> = list.drain(..later).collect();
                        prop_assert_eq!(due, expected);
                    }
                    Op::RetainAfter(key) => {
                        let key = MonotonicTime::from_nanos(key);
                        tree.retain(|node| node.key > key);
                        list.retain(|node| node.key > key);
                    }
                }
                prop_assert_eq!(tree.len(), list.len());
                let nodes = tree.nodes().map(|mut nodes| {
                    nodes.sort_by_key(|node| (node.key, node.armed));
                    nodes
                });
                prop_assert_eq!(nodes.as_ref(), Some(&list));
            }
        }
    }

    #[test]
    fn is_before_orders_equal_keys_by_age_across_a_wrap() {
        assert!(node(5, 1).is_before(&node(5, 2)) && !node(5, 2).is_before(&node(5, 1)));
        assert!(
            node(5, u32::MAX).is_before(&node(5, 0)) && !node(5, 0).is_before(&node(5, u32::MAX))
        );
        assert!(!node(5, 1).is_before(&node(5, 1)));
        assert!(node(4, 2).is_before(&node(5, 1)) && !node(5, 1).is_before(&node(4, 2)));
    }

    #[test]
    fn leaf_of_which_all_nodes_are_taken_keeps_little_memory() {
        let mut tree = RadixTree::new(1);
        (0..100).for_each(|armed| tree.push(node(1 << 30, armed)));
        tree.take_due(MonotonicTime::FAR_FUTURE, &mut Vec::new());
        assert!(matches!(&tree.root, Link::Leaf(nodes) if nodes.capacity() <= KEPT));
        (0..100).for_each(|armed| tree.push(node(1 << 30, armed)));
        tree.push(node(2 << 30, 100));
        (0..100).for_each(|_| tree.pop_first());
        let Link::Branch(branch) = &tree.root else {
            panic!("a long leaf was distributed");
        };
        let mut leaves = branch.links.iter();
        assert!(leaves.all(|link| matches!(link, Link::Leaf(nodes) if nodes.capacity() <= KEPT)));
        tree.pop_first();
        assert!(
            matches!(tree.root, Link::Leaf(_)),
            "an empty branch is removed"
        );
    }

    /// Tests the check itself, because the search and the fuzzer depend on it.
    #[test]
    fn nodes_rejects_misplaced_nodes_and_a_wrong_first_node() {
        let mut tree = RadixTree::new(1);
        (0..8).for_each(|armed| tree.push(node(10 + 100 * u64::from(armed), armed)));
        tree.pop_first();
        assert_eq!(tree.first(), Some(node(110, 1)));
        assert!(tree.nodes().is_some());
        let broken = |change: fn(&mut RadixTree, &mut Branch)| {
            let mut tree = tree.clone();
            let Link::Branch(mut branch) = std::mem::take(&mut tree.root) else {
                panic!("a long leaf was distributed");
            };
            change(&mut tree, &mut branch);
            tree.root = Link::Branch(branch);
            tree.nodes().is_none()
        };
        assert!(!broken(|_, _| {}));
        assert!(broken(|tree, _| tree.len += 1));
        assert!(broken(|tree, _| tree.first = Some(node(111, 9))));
        assert!(broken(|_, branch| branch.occupied = 1));
        assert!(broken(|_, branch| branch.occupied |= 1 << 63));
        assert!(broken(|_, branch| branch.links.swap(1, 3)));
        assert!(broken(|_, branch| branch.sample += 1 << 40));
    }
}
