//! Every sequence of ops within bounds, breadth first, until nothing new is found.

use crate::key::Keys;
use crate::op::{FDS, Interval};
use crate::{Op, Violation, World};
use eventry::Events;
use std::collections::{HashSet, VecDeque};
use std::os::fd::RawFd;

/// What the search may do.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How many entries may be added.
    pub adds: Adds,
    /// The descriptors that handles are added on.
    pub fds: Vec<RawFd>,
    /// What handles want; empty for a search without handles.
    pub interests: Vec<Events>,
    /// What a descriptor can be found ready for.
    pub ready: Vec<Events>,
    /// The intervals of timeouts, in ticks of one nanosecond; empty for a search without timeouts.
    pub intervals: Vec<Interval>,
    /// Whether the poller may refuse a descriptor.
    pub refusals: bool,
    /// Whether the poller may be rebuilt, at any time. The loop does so when a turn has just begun, but the
    /// table allows it.
    pub rebuilds: bool,
    /// Whether a thread may come with a time that is over.
    pub samples: bool,
    /// Whether a turn may be given up for the next, a batch fetched during a turn, and the poller told
    /// what can wait while a callback runs. The loop does nothing of it, but the table allows it.
    pub abandon: bool,
    /// States further away than this many ops are not visited.
    pub depth: usize,
}

/// How many entries a search adds.
#[derive(Clone, Copy, Debug)]
pub enum Adds {
    /// This many in all.
    Ever(usize),
    /// Without end, but only this many at a time. The ids of freed entries are tried as long as they are
    /// among the `stale` latest of their kind.
    AtOnce {
        /// How many registered or waiting to be freed.
        entries: usize,
        /// How many ids of freed entries are kept.
        stale: usize,
    },
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// How many states, up to renaming.
    pub states: usize,
    /// How many ops were tried in them.
    pub transitions: usize,
    /// How many ops the furthest state is away.
    pub depth: usize,
    /// Whether every state within the bounds was visited, whatever its depth.
    pub fixpoint: bool,
    /// The first violation and the shortest sequence of ops that leads to it; the search ends there.
    pub violation: Option<(Vec<Op>, Violation)>,
}

/// Visits every state within `bounds`.
#[must_use]
pub fn explore(bounds: &Bounds) -> Found {
    let longest = bounds
        .intervals
        .iter()
        .copied()
        .flatten()
        .max()
        .unwrap_or(0);
    let mut keys = Keys::new(longest);
    let mut seen = HashSet::new();
    // How each state was reached first: from which, by what.
    let mut reached: Vec<(usize, Op)> = vec![(0, Op::Close)];
    let mut frontier = VecDeque::from([(0, 0, World::new())]);
    seen.insert(keys.of(&World::new()));
    let mut found = Found {
        states: 1,
        transitions: 0,
        depth: 0,
        fixpoint: true,
        violation: None,
    };
    while let Some((state, depth, world)) = frontier.pop_front() {
        found.depth = depth;
        if depth == bounds.depth {
            found.fixpoint = false;
            break;
        }
        for op in bounds.ops(&world) {
            found.transitions += 1;
            let mut next = world.clone();
            if let Err(violation) = next.apply(op) {
                let mut ops = path(&reached, state);
                ops.push(op);
                found.violation = Some((ops, violation));
                found.fixpoint = false;
                return found;
            }
            if let Adds::AtOnce { stale, .. } = bounds.adds {
                next.forget_all_but(stale);
            }
            if seen.insert(keys.of(&next)) {
                reached.push((state, op));
                frontier.push_back((found.states, depth + 1, next));
                found.states += 1;
            }
        }
    }
    found
}

/// The ops that lead to `state`.
fn path(reached: &[(usize, Op)], mut state: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    while state != 0 {
        let (from, op) = reached[state];
        ops.push(op);
        state = from;
    }
    ops.reverse();
    ops
}

impl Bounds {
    /// What may happen next in `world`.
    fn ops(&self, world: &World) -> Vec<Op> {
        let mut ops = Vec::new();
        self.add_ops(world, &mut ops);
        for nth in 0..world.handles.len() {
            ops.push(Op::RemoveHandle { nth });
            let update = |interest: &Events| Op::UpdateHandle {
                nth,
                interest: *interest,
            };
            ops.extend(self.interests.iter().map(update));
        }
        for nth in 0..world.timeouts.len() {
            ops.push(Op::RemoveTimeout { nth });
            let update = |interval: &Interval| Op::UpdateTimeout {
                nth,
                interval: *interval,
            };
            ops.extend(self.intervals.iter().map(update));
        }
        if !self.intervals.is_empty() && !world.oracle.is_closed() {
            ops.push(Op::Tick(1));
            if self.samples {
                ops.push(Op::Sample);
            }
        }
        self.loop_ops(world, &mut ops);
        if self.rebuilds && !world.mirror.registered().is_empty() {
            ops.push(Op::Rebuild);
        }
        if !world.oracle.is_closed() {
            ops.push(Op::Close);
        }
        ops
    }

    fn add_ops(&self, world: &World, ops: &mut Vec<Op>) {
        let may_add = match self.adds {
            Adds::Ever(most) => (world.oracle.added() as usize) < most,
            Adds::AtOnce { entries, .. } => {
                let all = world.oracle.registrations().iter();
                all.filter(|entry| !entry.freed).count() < entries
            }
        };
        if !may_add {
            return;
        }
        for &fd in &self.fds {
            for &interest in &self.interests {
                ops.push(Op::AddHandle { fd, interest });
            }
        }
        let add = |interval: &Interval| Op::AddTimeout {
            interval: *interval,
        };
        ops.extend(self.intervals.iter().map(add));
    }

    /// What the loop may do next.
    fn loop_ops(&self, world: &World, ops: &mut Vec<Op>) {
        if world.is_in_call() {
            ops.push(Op::Finish);
            if self.abandon {
                self.flush_ops(world, ops);
            }
            return;
        }
        ops.push(Op::Step);
        if !self.abandon && !world.oracle.turn_is_over() {
            return;
        }
        ops.push(Op::Frees);
        if world.has_batch() {
            ops.push(Op::Turn);
        }
        self.flush_ops(world, ops);
        let mut reports = Vec::new();
        for ready in self.readiness() {
            let report = world.mirror.report(&ready);
            if !reports.contains(&report) {
                reports.push(report);
                ops.push(Op::Poll { ready });
            }
        }
    }

    /// The loop is about to sleep; the poller may refuse any of the descriptors it is told of.
    fn flush_ops(&self, world: &World, ops: &mut Vec<Op>) {
        let mut all = vec![0];
        for change in world.oracle.pending() {
            if self.refusals && change.after != Events::NONE {
                let bit = 1u8.checked_shl(change.fd.cast_unsigned()).unwrap_or(0);
                all.extend(all.clone().iter().map(|refused| refused | bit));
            }
        }
        ops.extend(all.into_iter().map(|refused| Op::Flush { refused }));
    }

    /// Every combination of what the descriptors can be ready for.
    fn readiness(&self) -> Vec<[Events; FDS]> {
        let mut all = vec![[Events::NONE; FDS]];
        for &fd in &self.fds {
            let Some(fd) = usize::try_from(fd).ok().filter(|fd| *fd < FDS) else {
                continue;
            };
            let with = |ready: [Events; FDS]| {
                self.ready.iter().map(move |events| {
                    let mut ready = ready;
                    ready[fd] = *events;
                    ready
                })
            };
            all = all.into_iter().flat_map(with).collect();
        }
        all
    }
}

impl World {
    /// Forgets what was freed, except the latest `stale` ids of each kind.
    fn forget_all_but(&mut self, stale: usize) {
        let freed = |world: &World, label| {
            let entry = world.oracle.registration(label);
            entry.is_none_or(|entry| entry.freed)
        };
        let mut gone = Vec::new();
        let handles = self.handles.iter().map(|(label, _)| *label);
        let handles: Vec<_> = handles.filter(|label| freed(self, *label)).collect();
        gone.extend(handles.iter().rev().skip(stale));
        let timeouts = self.timeouts.iter().map(|(label, _)| *label);
        let timeouts: Vec<_> = timeouts.filter(|label| freed(self, *label)).collect();
        gone.extend(timeouts.iter().rev().skip(stale));
        for label in gone {
            self.oracle.forget(label);
            self.handles.retain(|(own, _)| *own != label);
            self.timeouts.retain(|(own, _)| *own != label);
        }
    }
}
