//! The armed timeouts, nearest first.
//!
//! The order is kept by a heap that is corrected late. Pushing a deadline further out, which idle timers do
//! all the time, and disarming cost O(1) and do not touch the heap: the node that stands there is found to
//! be too early, or superseded, when it surfaces. Superseded nodes are swept out before they outnumber
//! the others.

use super::heap::{Heap, Node};
use crate::planted::{Defect, planted};
use crate::time::Time;
use std::fmt;

/// When a timeout is due, and the order among those due at the same time: the one armed first comes
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) deadline: Time,
    pub(super) armed: u64,
}

/// What a timeout keeps for the order.
#[derive(Clone)]
pub(super) struct Alarm {
    /// When it is due, if it is armed.
    due: Due,
    /// The key of the one node in the heap that stands for it, never later than the deadline; or
    /// [`Time::FAR_FUTURE`] if it is not armed.
    key: Time,
    /// What that node says of its arming: tells it from superseded ones.
    node: u32,
}

/// Where the alarms are.
pub(super) trait Alarms {
    fn alarm(&self, slot: u32) -> Option<&Alarm>;
    fn alarm_mut(&mut self, slot: u32) -> Option<&mut Alarm>;
}

#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    heap: Heap,
    /// How many alarms are armed.
    alarms: usize,
}

/// The latest key: the one after it says that an alarm is not armed.
pub(super) const LATEST: Time = Time::from_nanos(u64::MAX - 1);

impl Alarm {
    pub(super) const fn new() -> Alarm {
        Alarm {
            due: Due {
                deadline: Time::FAR_FUTURE,
                armed: 0,
            },
            key: Time::FAR_FUTURE,
            node: 0,
        }
    }

    fn is_armed(&self) -> bool {
        self.key != Time::FAR_FUTURE
    }

    /// When it is due, if it is armed.
    pub(super) fn due(&self) -> Option<Due> {
        self.is_armed().then_some(self.due)
    }

    fn is_stood_for_by(&self, node: &Node) -> bool {
        self.key == node.key && self.node == node.armed
    }

    /// Makes the node that stands for it from now on.
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

/// Shows when it is due; what stands for it in the heap is the heap's business.
impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").field(&self.due()).finish()
    }
}

impl Deadlines {
    /// Arms the timeout in `slot`, or moves it if it is armed. Armings must be numbered in ascending order.
    pub(super) fn arm(&mut self, slot: u32, alarm: &mut Alarm, due: Due) {
        alarm.due = due;
        let is_new = !alarm.is_armed();
        if is_new || due.deadline < alarm.key && !planted(Defect::NearerNotMoved) {
            self.heap.push(alarm.make_node(slot));
        }
        self.alarms += usize::from(is_new);
    }

    /// Disarms a timeout; does nothing if it is not armed.
    pub(super) fn disarm(&mut self, alarm: &mut Alarm) {
        self.alarms -= usize::from(alarm.is_armed());
        alarm.key = Time::FAR_FUTURE;
    }

    /// Whether superseded nodes outnumber the others, so that it is time to [`sweep`](Deadlines::sweep).
    pub(super) fn is_littered(&self) -> bool {
        self.heap.len() > 2 * self.alarms
    }

    /// Takes all superseded nodes out. It costs as much as there are nodes, and that many armings and
    /// disarmings went before it.
    pub(super) fn sweep(&mut self, alarms: &impl Alarms) {
        self.heap.retain(|node| {
            let alarm = alarms.alarm(node.slot);
            alarm.is_some_and(|alarm| alarm.is_stood_for_by(&node))
        });
    }

    /// The timeout that is due first, and when.
    pub(super) fn first(&mut self, alarms: &mut impl Alarms) -> Option<(u32, Due)> {
        loop {
            let node = self.heap.first()?;
            let alarm = alarms.alarm_mut(node.slot);
            match alarm.filter(|alarm| alarm.is_stood_for_by(&node)) {
                None => self.heap.pop_first(),
                Some(alarm)
                    if alarm.due.armed as u32 == node.armed
                        || planted(Defect::PutOffStaysFirst) =>
                {
                    return Some((node.slot, alarm.due));
                }
                Some(alarm) => self.heap.replace_first(alarm.make_node(node.slot)),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.alarms
    }

    /// Whether the heap is a heap, one node stands for each armed timeout, not after its deadline, and the
    /// others are not too many.
    pub(super) fn is_consistent(&self, alarms: &impl Alarms) -> bool {
        let standing = self.heap.iter().filter(|node| {
            let alarm = alarms.alarm(node.slot);
            alarm
                .is_some_and(|alarm| alarm.is_stood_for_by(node) && alarm.key <= alarm.due.deadline)
        });
        standing.count() == self.alarms && self.heap.is_consistent() && !self.is_littered()
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
            deadline: Time::from_nanos(deadline),
            armed,
        }
    }

    #[test]
    fn a_deadline_pushed_out_is_corrected_when_it_surfaces() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::default();
        deadlines.arm(0, &mut alarms[0], due(5, 0));
        deadlines.arm(1, &mut alarms[1], due(7, 1));
        deadlines.arm(0, &mut alarms[0], due(9, 2));
        assert_eq!(deadlines.first(&mut alarms), Some((1, due(7, 1))));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(deadlines.first(&mut alarms), Some((0, due(9, 2))));
    }

    #[test]
    fn the_last_point_in_time_is_a_deadline_like_others() {
        let mut alarms = vec![Alarm::new(), Alarm::new()];
        let mut deadlines = Deadlines::default();
        deadlines.arm(0, &mut alarms[0], due(u64::MAX, 0));
        deadlines.arm(1, &mut alarms[1], due(u64::MAX - 1, 1));
        assert!(deadlines.is_consistent(&alarms));
        deadlines.disarm(&mut alarms[1]);
        assert_eq!(deadlines.first(&mut alarms), Some((0, due(u64::MAX, 0))));
    }

    proptest! {
        #[test]
        fn the_first_is_the_minimum_over_all_armed(
            steps in proptest::collection::vec((0u32..40, proptest::option::of(0u64..40)), 0..400)
        ) {
            let mut alarms = vec![Alarm::new(); 40];
            let mut deadlines = Deadlines::default();
            let mut model = BTreeMap::new();
            for (armed, (slot, deadline)) in (0..).zip(steps) {
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
                if deadlines.is_littered() {
                    deadlines.sweep(&alarms);
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
