//! The armed timeouts, nearest first.
//!
//! A 4-ary heap that knows where each timeout stands, so that any of them is moved or taken out in
//! O(log n). Pushing a deadline further out, which idle timers do all the time, costs O(1): the heap
//! keeps the old, nearer key and corrects it when it surfaces.

use super::slots::NONE;
use crate::time::Time;

/// When a timeout is due, and the order among those due at the same time: the one armed first comes
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) deadline: Time,
    pub(super) armed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Due,
    slot: u32,
}

/// What is known of the timeout in one slot.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// When it is really due; the key of its node is never later.
    due: Due,
    /// Where its node stands, or [`NONE`].
    at: u32,
}

const ARITY: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    nodes: Vec<Node>,
    places: Vec<Place>,
}

impl Deadlines {
    /// Arms the timeout in `slot`, or moves it if it is armed.
    pub(super) fn arm(&mut self, slot: u32, due: Due) {
        let index = slot as usize;
        if index >= self.places.len() {
            let unarmed = Place { due, at: NONE };
            self.places.resize(index + 1, unarmed);
        }
        let at = self.places[index].at;
        self.places[index].due = due;
        if at == NONE {
            self.nodes.push(Node { key: due, slot });
            self.sift_up(self.nodes.len() - 1);
        } else if due < self.nodes[at as usize].key {
            self.nodes[at as usize].key = due;
            self.sift_up(at as usize);
        }
    }

    /// Disarms the timeout in `slot`; does nothing if it is not armed.
    pub(super) fn disarm(&mut self, slot: u32) {
        let Some(place) = self.places.get_mut(slot as usize) else {
            return;
        };
        let at = std::mem::replace(&mut place.at, NONE);
        if at == NONE {
            return;
        }
        let at = at as usize;
        self.nodes.swap_remove(at);
        if at < self.nodes.len() {
            self.places[self.nodes[at].slot as usize].at = at as u32;
            self.sift_down(at);
            self.sift_up(at);
        }
    }

    /// The timeout that is due first, and when.
    pub(super) fn first(&mut self) -> Option<(u32, Due)> {
        loop {
            let node = *self.nodes.first()?;
            let due = self.places[node.slot as usize].due;
            if node.key == due {
                return Some((node.slot, due));
            }
            self.nodes[0].key = due;
            self.sift_down(0);
        }
    }

    /// When the timeout in `slot` is due, if it is armed.
    pub(super) fn due(&self, slot: u32) -> Option<Due> {
        let place = self.places.get(slot as usize)?;
        (place.at != NONE).then_some(place.due)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the heap is a heap, and each node and place know each other.
    pub(super) fn is_consistent(&self) -> bool {
        let nodes_hold = self.nodes.iter().enumerate().all(|(at, node)| {
            let place = self.places[node.slot as usize];
            place.at as usize == at
                && node.key <= place.due
                && (at == 0 || self.nodes[(at - 1) / ARITY].key <= node.key)
        });
        let armed = self.places.iter().filter(|place| place.at != NONE).count();
        nodes_hold && armed == self.nodes.len()
    }

    fn sift_up(&mut self, mut at: usize) {
        let node = self.nodes[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.nodes[parent].key <= node.key {
                break;
            }
            self.put(at, self.nodes[parent]);
            at = parent;
        }
        self.put(at, node);
    }

    fn sift_down(&mut self, mut at: usize) {
        let node = self.nodes[at];
        loop {
            let first = at * ARITY + 1;
            let children = first..(first + ARITY).min(self.nodes.len());
            let Some(least) = children.min_by_key(|child| self.nodes[*child].key) else {
                break;
            };
            if node.key <= self.nodes[least].key {
                break;
            }
            self.put(at, self.nodes[least]);
            at = least;
        }
        self.put(at, node);
    }

    fn put(&mut self, at: usize, node: Node) {
        self.nodes[at] = node;
        self.places[node.slot as usize].at = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn due(deadline: u64, armed: u64) -> Due {
        Due {
            deadline: Time::from_nanos(deadline),
            armed,
        }
    }

    #[test]
    fn a_deadline_pushed_out_is_corrected_when_it_surfaces() {
        let mut heap = Deadlines::default();
        heap.arm(0, due(5, 0));
        heap.arm(1, due(7, 1));
        heap.arm(0, due(9, 2));
        assert_eq!(heap.first(), Some((1, due(7, 1))));
        heap.disarm(1);
        assert_eq!(heap.first(), Some((0, due(9, 2))));
    }

    proptest! {
        #[test]
        fn the_first_is_the_minimum_over_all_armed(
            steps in proptest::collection::vec((0u32..12, proptest::option::of(0u64..40)), 0..200)
        ) {
            let mut heap = Deadlines::default();
            let mut model = BTreeMap::new();
            for (armed, (slot, deadline)) in (0..).zip(steps) {
                match deadline {
                    Some(deadline) => {
                        heap.arm(slot, due(deadline, armed));
                        model.insert(slot, due(deadline, armed));
                    }
                    None => {
                        heap.disarm(slot);
                        model.remove(&slot);
                    }
                }
                prop_assert!(heap.is_consistent());
                let first = model.iter().map(|(slot, due)| (*slot, *due)).min_by_key(|(_, due)| *due);
                prop_assert_eq!(heap.first(), first);
                prop_assert!(heap.is_consistent());
                prop_assert_eq!(heap.due(slot), model.get(&slot).copied());
            }
        }
    }
}
