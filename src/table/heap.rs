//! A 4-ary heap of nodes without back references, so that moving a node writes to the heap only.

use crate::time::MonotonicTime;
use std::fmt;

/// One element of the order of deadlines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) key: MonotonicTime,
    /// The low 32 bits of the number of the arming. They order nodes with equal keys, the older first. Two nodes
    /// that are 2³¹ armings apart may be in the wrong order, which has no other effect.
    pub(super) armed: u32,
    pub(super) slot: u32,
}

impl Node {
    /// The filler of unused places, later than every other node.
    const NONE: Node = Node {
        key: MonotonicTime::FAR_FUTURE,
        armed: 0,
        slot: u32::MAX,
    };

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

/// The children of one node, which share a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Quad([Node; 4]);

/// The nodes, the least first. The root is stored by itself; the children of node `n` are the quad `n`.
#[derive(Clone)]
pub(super) struct Heap {
    root: Node,
    quads: Vec<Quad>,
    len: usize,
}

impl Default for Heap {
    fn default() -> Heap {
        Heap {
            root: Node::NONE,
            quads: Vec::new(),
            len: 0,
        }
    }
}

impl Heap {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the least node.
    pub(super) fn first(&self) -> Option<Node> {
        (self.len > 0).then_some(self.root)
    }

    /// Returns the key of the least node, or [`MonotonicTime::FAR_FUTURE`] if there is none.
    #[inline]
    pub(super) fn least_key(&self) -> MonotonicTime {
        self.root.key
    }

    /// Adds a node. Its key must not be [`MonotonicTime::FAR_FUTURE`].
    pub(super) fn push(&mut self, node: Node) {
        if self.len > 4 * self.quads.len() {
            self.quads.push(Quad([Node::NONE; 4]));
        }
        self.len += 1;
        self.sift_up(self.len - 1, node);
    }

    /// Replaces the least node by `node`.
    pub(super) fn replace_first(&mut self, node: Node) {
        self.sift_down(0, node);
    }

    /// Removes the least node.
    pub(super) fn pop_first(&mut self) {
        let Some(last) = self.len.checked_sub(1) else {
            return;
        };
        let node = self.get(last);
        self.put(last, Node::NONE);
        self.len = last;
        self.quads.truncate(last.div_ceil(4));
        if last > 0 {
            self.sift_down(0, node);
        }
    }

    /// Keeps the nodes for which `keep` returns true; it is called once per node. The cost is linear in the number
    /// of nodes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Node) -> bool) {
        let mut kept = 0;
        for at in 0..self.len {
            let node = self.get(at);
            if keep(node) {
                self.put(kept, node);
                kept += 1;
            }
        }
        for at in kept..self.len {
            self.put(at, Node::NONE);
        }
        self.len = kept;
        self.quads.truncate(kept.saturating_sub(1).div_ceil(4));
        for at in (0..kept.div_ceil(4)).rev() {
            self.sift_down(at, self.get(at));
        }
    }

    /// Returns whether no node is before its parent and no place past the end is in use.
    pub(super) fn is_consistent(&self) -> bool {
        let ordered = (1..self.len).all(|at| !self.get(at).is_before(&self.get((at - 1) / 4)));
        let places = 1 + 4 * self.quads.len();
        let vacant = (self.len..places).all(|at| self.get(at).key == MonotonicTime::FAR_FUTURE);
        ordered && vacant
    }

    /// Returns the nodes in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Node> {
        (0..self.len).map(|at| self.get(at))
    }

    fn get(&self, at: usize) -> Node {
        match at.checked_sub(1) {
            None => self.root,
            Some(at) => self.quads[at / 4].0[at % 4],
        }
    }

    fn put(&mut self, at: usize, node: Node) {
        match at.checked_sub(1) {
            None => self.root = node,
            Some(at) => self.quads[at / 4].0[at % 4] = node,
        }
    }

    fn sift_up(&mut self, mut at: usize, node: Node) {
        while at > 0 {
            let parent = (at - 1) / 4;
            let above = self.get(parent);
            if !node.is_before(&above) {
                break;
            }
            self.put(at, above);
            at = parent;
        }
        self.put(at, node);
    }

    fn sift_down(&mut self, mut at: usize, node: Node) {
        while let Some(Quad(children)) = self.quads.get(at) {
            let pick = |a: usize, b: usize| {
                if children[b].is_before(&children[a]) {
                    b
                } else {
                    a
                }
            };
            let least = pick(pick(0, 1), pick(2, 3));
            let child = children[least];
            if !child.is_before(&node) {
                break;
            }
            self.put(at, child);
            at = 4 * at + 1 + least;
        }
        self.put(at, node);
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
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

    fn sorted(nodes: impl Iterator<Item = Node>) -> Vec<(MonotonicTime, u32)> {
        let mut nodes: Vec<_> = nodes.map(|node| (node.key, node.armed)).collect();
        nodes.sort_unstable();
        nodes
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u64),
        Replace(u64),
        Pop,
        RetainAfter(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            8 => (0..40_u64).prop_map(Op::Push),
            2 => (0..40_u64).prop_map(Op::Replace),
            4 => Just(Op::Pop),
            1 => (0..40_u64).prop_map(Op::RetainAfter),
        ];
        prop::collection::vec(op, 0..200)
    }

    proptest! {
        /// Compares the heap with a list that is sorted after each operation.
        #[test]
        fn heap_equals_a_sorted_list_after_every_operation(ops in ops()) {
            let mut heap = Heap::default();
            let mut list: Vec<Node> = Vec::new();
            for (armed, op) in (0..).zip(ops) {
                let least = list.iter().copied().reduce(|a, b| if b.is_before(&a) { b } else { a });
                let others = |node: &Node| Some(node.armed) != least.map(|least| least.armed);
                match op {
                    Op::Push(key) => {
                        heap.push(node(key, armed));
                        list.push(node(key, armed));
                    }
                    Op::Replace(key) if !list.is_empty() => {
                        heap.replace_first(node(key, armed));
                        list.retain(others);
                        list.push(node(key, armed));
                    }
                    Op::Replace(_) => {}
                    Op::Pop => {
                        heap.pop_first();
                        list.retain(others);
                    }
                    Op::RetainAfter(key) => {
                        heap.retain(|node| node.key > MonotonicTime::from_nanos(key));
                        list.retain(|node| node.key > MonotonicTime::from_nanos(key));
                    }
                }
                prop_assert!(heap.is_consistent());
                prop_assert_eq!(heap.len(), list.len());
                let expected = sorted(list.iter().copied());
                let first = heap.first().map(|node| (node.key, node.armed));
                prop_assert_eq!(first, expected.first().copied());
                let least_key = expected.first().map_or(MonotonicTime::FAR_FUTURE, |first| first.0);
                prop_assert_eq!(heap.least_key(), least_key);
                prop_assert_eq!(sorted(heap.iter()), expected);
                prop_assert!(heap.quads.len() <= heap.len().div_ceil(4), "unused quads are released");
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

    /// Tests the check itself, because the search and the fuzzer depend on it.
    #[test]
    fn is_consistent_rejects_wrong_order_and_nodes_past_the_end() {
        let mut heap = Heap::default();
        (0..7).for_each(|armed| heap.push(node(10 + u64::from(armed), armed)));
        assert!(heap.is_consistent());
        for at in 1..7 {
            let mut broken = heap.clone();
            broken.put(at, node(1, 9));
            assert!(!broken.is_consistent(), "node {at} is before its parent");
        }
        for at in 7..9 {
            let mut broken = heap.clone();
            broken.put(at, node(90, 9));
            assert!(!broken.is_consistent(), "place {at} past the end is in use");
        }
    }
}
