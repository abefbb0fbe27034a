//! Breadth-first search over every sequence of ops within bounds, until no new state is found.

use crate::key::Keys;
use crate::mirror::{File, Registered};
use crate::op::{FDS, Interval};
use crate::refinement::Steps;
use crate::{Op, Violation, World};
use eventry::Events;
use std::collections::{HashSet, VecDeque};
use std::os::fd::RawFd;

/// Bounds of a search.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Limit of the entries that are added.
    pub adds: Adds,
    /// Descriptors of the handles.
    pub fds: Vec<RawFd>,
    /// Interests of handles; empty for a search without handles.
    pub interests: Vec<Events>,
    /// Events for which a descriptor may be ready.
    pub ready: Vec<Events>,
    /// Intervals of timeouts, in ticks of one nanosecond; empty for a search without timeouts.
    pub intervals: Vec<Interval>,
    /// Allows the poller to refuse a descriptor.
    pub refusals: bool,
    /// Allows a new poller at any time. The loop recreates its poller only at the start of a turn, but the
    /// table allows it at any time.
    pub recreations: bool,
    /// Allows registered numbers to be opened again as other files, one of them with a duplicate at a time.
    pub reopenings: bool,
    /// Allows the wait to end registrations.
    pub losses: bool,
    /// Allows a thread to call with an earlier time than the table's.
    pub samples: bool,
    /// Allows to begin a turn before the last one has ended, to fetch a batch during a turn, and to flush
    /// changes while a callback runs. The loop does none of these, but the table allows them.
    pub abandon: bool,
    /// Largest number of calls that the loop takes at once.
    pub limit: usize,
    /// Compares with the relation, too.
    pub refinement: bool,
    /// Maximum number of ops that lead to a visited state.
    pub depth: usize,
}

/// Number of entries that a search adds.
#[derive(Clone, Copy, Debug)]
pub enum Adds {
    /// This many in all.
    Ever(usize),
    /// Any number in all, but only this many at a time. The ids of freed entries are used as long as they
    /// are among the latest `stale` of their kind.
    AtOnce {
        /// Maximum number of entries that are registered or wait to be freed.
        entries: usize,
        /// Number of ids of freed entries that are kept.
        stale: usize,
    },
}

/// Result of a search.
#[derive(Clone, Debug)]
pub struct SearchResult {
    /// Number of states, up to renaming.
    pub states: usize,
    /// Number of ops applied to them.
    pub transitions: usize,
    /// Number of steps of these ops that were compared with the relation.
    pub steps: Steps,
    /// Number of ops that lead to the furthest state.
    pub depth: usize,
    /// Every state within the bounds was visited, independent of its depth.
    pub fixpoint: bool,
    /// The first violation and the shortest sequence of ops that leads to it. The search ends there.
    pub violation: Option<(Vec<Op>, Violation)>,
}

/// Visits every state within `bounds`.
#[must_use]
pub fn explore(bounds: &Bounds) -> SearchResult {
    let longest = bounds
        .intervals
        .iter()
        .copied()
        .flatten()
        .max()
        .unwrap_or(0);
    let mut keys = Keys::new(longest);
    let mut seen = HashSet::new();
    // For each state, the state and the op from which it was reached first.
    let mut reached: Vec<(usize, Op)> = vec![(0, Op::Close)];
    let mut empty = World::with_limit(bounds.limit);
    if !bounds.refinement {
        empty = empty.without_refinement();
    }
    seen.insert(keys.of(&empty));
    let mut frontier = VecDeque::from([(0, 0, empty)]);
    let mut found = SearchResult {
        states: 1,
        transitions: 0,
        steps: Steps::default(),
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
            found.steps.add(next.steps().since(world.steps()));
            if let Adds::AtOnce { stale, .. } = bounds.adds {
                next.forget_freed_except(stale);
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

/// Returns the ops that lead to `state`.
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
    /// Returns the ops that the bounds allow in `world`.
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
        let has_stale = !world.mirror.stale().is_empty();
        if self.recreations && (has_stale || !world.mirror.registered().is_empty()) {
            ops.push(Op::Recreate);
        }
        self.file_ops(world, &mut ops);
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

    /// Adds the ops that replace or close the files of registered numbers.
    fn file_ops(&self, world: &World, ops: &mut Vec<Op>) {
        let registered = world.mirror.registered();
        let is_duplicated = |own: &Registered| own.file == File::Duplicated;
        let may_duplicate =
            world.mirror.stale().is_empty() && !registered.iter().any(is_duplicated);
        for own in registered {
            let fd = own.fd;
            if self.reopenings && own.file == File::Current {
                let duplicated = false;
                ops.push(Op::Reopen { fd, duplicated });
                if may_duplicate {
                    let duplicated = true;
                    ops.push(Op::Reopen { fd, duplicated });
                }
            }
            if self.losses && world.has_batch() && !world.lost.contains(&own.token) {
                ops.push(Op::Lose { fd });
            }
        }
    }

    /// Adds the ops of the loop.
    fn loop_ops(&self, world: &World, ops: &mut Vec<Op>) {
        if world.has_calls_out() {
            ops.push(if world.is_in_call() {
                Op::Finish
            } else {
                Op::Step
            });
            if self.abandon {
                self.flush_ops(world, ops);
            }
            return;
        }
        ops.push(Op::Step);
        if !self.abandon && !world.oracle.has_turn_ended() {
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

    /// Adds a flush of the changes for each set of descriptors that the poller may refuse.
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

    /// Returns every combination of the events for which the descriptors may be ready.
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
    /// Drops the freed entries, except those with the latest `stale` ids of each kind.
    pub(crate) fn forget_freed_except(&mut self, stale: usize) {
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
