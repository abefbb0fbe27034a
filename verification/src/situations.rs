//! Counts of rare situations in generated sequences.
//!
//! Defects show in rare situations, which a generator must reach. The tests print these counts and fail
//! below their floors.

use crate::mirror::{File, fd_in};
use crate::op::Interval;
use crate::oracle::{Answer, EntryKind, Label};
use crate::{Op, Violation, World};
use eventry::Events;
use eventry::table::Removal;
use std::os::fd::RawFd;

/// Counts of rare situations.
#[derive(Clone, Debug, Default)]
pub struct Situations {
    /// A callback was called.
    pub calls: usize,
    /// A payload was freed.
    pub frees: usize,
    /// An entry was removed in a turn that was going to call it.
    pub removed_before_its_call: usize,
    /// An entry was removed while its callback ran.
    pub removed_while_running: usize,
    /// A handle was added on a descriptor whose handle was removed earlier in the same turn.
    pub descriptor_reused_in_turn: usize,
    /// The same, and the removed handle had been disabled before (EV-606).
    pub disabled_then_reused: usize,
    /// A turn began with an event of an earlier registration of a descriptor that has new handles.
    pub stale_event_of_reused_descriptor: usize,
    /// A timeout was updated in a turn that was going to call it.
    pub updated_while_due: usize,
    /// The same, and its interval was made shorter.
    pub shortened_while_due: usize,
    /// The poller got no change for a descriptor whose changes had cancelled each other out.
    pub cancelled_changes: usize,
    /// A descriptor was refused while a callback of one of its handles ran.
    pub refused_while_running: usize,
    /// A handle that was disabled by a refusal was enabled again.
    pub refused_then_enabled: usize,
    /// A removal ended a registration while an event of it waited for the turn to begin.
    pub urgent_with_stale_batch: usize,
    /// The poller was recreated while it had registrations.
    pub recreated: usize,
    /// A handle was added or enabled on a number that had been opened again under another handle.
    pub used_after_reopening: usize,
    /// The same, and a duplicate kept the earlier file open.
    pub used_beside_duplicate: usize,
    /// A wait ended a registration whose number had been used again meanwhile.
    pub lost_then_used: usize,
    /// An id was used that no longer names an entry.
    pub stale_ids: usize,
    /// An entry was removed while others were being freed.
    pub removed_while_freeing: usize,
    /// A timeout was armed with an earlier time than the table's.
    pub late_clock: usize,
    /// The loop was dropped while a callback ran.
    pub closed_in_call: usize,
    /// The loop asked the table about a published call, because of a change.
    pub asked: usize,
    /// A taken call was skipped.
    pub skipped: usize,
    /// The entry of a published call was removed before the loop looked for changes.
    pub removed_after_publication: usize,
    seen: Seen,
    /// The op asks the table about a published call.
    asks: bool,
    /// Handles that were disabled by a refusal and not enabled since.
    disabled_by_refusal: Vec<Label>,
    /// Number of stale events in the batch before the op.
    stale_before: usize,
    /// Number of reopened numbers in use before the op.
    unknown_before: usize,
}

/// Changes since the turn began.
#[derive(Clone, Debug, Default)]
struct Seen {
    disabled: Vec<Label>,
    removed: Vec<RawFd>,
    removed_disabled: Vec<RawFd>,
}

impl Situations {
    /// Applies `op` to `world` and counts the situations.
    ///
    /// # Errors
    ///
    /// As [`World::apply`].
    pub fn apply(&mut self, world: &mut World, op: Op) -> Result<(), Violation> {
        self.count_before(world, op);
        world.apply(op)?;
        self.count_after(world, op);
        Ok(())
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Situations) {
        for (count, more) in self
            .counts_mut()
            .into_iter()
            .zip(other.clone().counts_mut())
        {
            *count += *more;
        }
    }

    /// Returns the names of the situations that occurred less often than `floor`.
    #[must_use]
    pub fn below(&self, floor: usize) -> Vec<&'static str> {
        let counts = self.clone().counts_mut().map(|count| *count);
        let rare = NAMES
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count < floor);
        rare.map(|(name, _)| name).collect()
    }

    fn count_before(&mut self, world: &World, op: Op) {
        let unknown = world.mirror.unknown_files().len();
        self.unknown_before = unknown;
        self.asks = false;
        let is_due = |label: Option<Label>| {
            usize::from(label.is_some_and(|label| world.oracle().will_call(label)))
        };
        match op {
            Op::RemoveHandle { nth } => {
                let label = world.nth_handle(nth);
                self.removed_before_its_call += is_due(label);
                self.record_removal(world, label);
                self.stale_before = world.stale_events();
            }
            Op::Flush { refused } => {
                let oracle = world.oracle();
                self.cancelled_changes += oracle.changed().len() - oracle.pending().len();
                self.refused_while_running += usize::from(world.refuses_running_handle(refused));
            }
            Op::UpdateHandle { nth, interest } if interest != Events::NONE => {
                let label = world.nth_handle(nth);
                let before = self.disabled_by_refusal.len();
                self.disabled_by_refusal.retain(|own| Some(*own) != label);
                self.refused_then_enabled += before - self.disabled_by_refusal.len();
            }
            Op::RemoveTimeout { nth } => {
                self.removed_before_its_call += is_due(world.nth_timeout(nth));
            }
            Op::UpdateTimeout { nth, interval } => {
                let label = world.nth_timeout(nth);
                self.updated_while_due += is_due(label);
                if label.is_some_and(|label| world.is_longer_than(label, interval)) {
                    self.shortened_while_due += is_due(label);
                }
                self.late_clock += usize::from(world.sampled.is_some_and(|then| then < world.now));
            }
            Op::Turn if !world.has_calls_out() && world.has_batch() => {
                let lost = world
                    .lost
                    .iter()
                    .filter_map(|token| world.mirror.fd_of(*token));
                let changed = world.oracle.changed();
                self.lost_then_used += lost.filter(|fd| changed.contains(fd)).count();
                self.stale_event_of_reused_descriptor += world.stale_events_of_reused_descriptors();
                self.seen = Seen::default();
            }
            Op::Step => self.asks = world.asks(),
            Op::Recreate => self.recreated += usize::from(!world.mirror.registered().is_empty()),
            Op::Close => self.closed_in_call += usize::from(world.is_in_call()),
            _ => {}
        }
    }

    fn count_after(&mut self, world: &World, op: Op) {
        if let Op::AddHandle { .. } | Op::UpdateHandle { .. } = op {
            let unknown = world.mirror.unknown_files();
            let used = unknown.len() - self.unknown_before;
            let registered = world.mirror.registered().iter();
            let mut registered = registered.filter(|own| own.file == File::Duplicated);
            let is_duplicated = registered.any(|own| unknown.contains(&own.fd));
            self.used_after_reopening += used;
            self.used_beside_duplicate += if is_duplicated { used } else { 0 };
        }
        self.asked += usize::from(self.asks);
        if world.is_published_one_removed() && matches!(world.last(), Answer::Removed(_)) {
            self.removed_after_publication += 1;
        }
        if let (Op::Step, Answer::Taken(calls)) = (op, world.last())
            && let Some(Answer::Handle(label, ..)) = calls.first()
            && world.is_disabled(*label)
        {
            self.disabled_by_refusal.push(*label);
        }
        self.skipped += usize::from(self.asks && *world.last() == Answer::Skipped);
        if let (Op::RemoveHandle { nth }, Answer::Removed(_)) = (op, world.last()) {
            self.disabled_by_refusal
                .retain(|own| Some(*own) != world.nth_handle(nth));
            self.urgent_with_stale_batch += world.stale_events() - self.stale_before;
        }
        match (op, world.last()) {
            (_, Answer::NotRegistered) => self.stale_ids += 1,
            (_, Answer::Taken(_) | Answer::Handle(..) | Answer::Timeout(_)) => self.calls += 1,
            (_, Answer::Free(_)) => self.frees += 1,
            (
                Op::UpdateHandle {
                    nth,
                    interest: Events::NONE,
                },
                _,
            ) => {
                self.seen.disabled.extend(world.nth_handle(nth));
            }
            (Op::AddHandle { fd, .. }, Answer::Added(_)) => {
                self.descriptor_reused_in_turn += usize::from(self.seen.removed.contains(&fd));
                let disabled = self.seen.removed_disabled.contains(&fd);
                self.disabled_then_reused += usize::from(disabled);
            }
            (_, Answer::Removed(removal)) => {
                self.removed_while_running += usize::from(*removal == Removal::InFlight);
                self.removed_while_freeing += usize::from(world.oracle().is_freeing());
            }
            _ => {}
        }
    }

    fn record_removal(&mut self, world: &World, label: Option<Label>) {
        let entry = label.and_then(|label| world.oracle().registration(label));
        if let Some(entry) = entry.filter(|entry| entry.registered)
            && let EntryKind::Handle { fd, .. } = entry.kind
        {
            self.seen.removed.push(fd);
            if self.seen.disabled.contains(&entry.label) {
                self.seen.removed_disabled.push(fd);
            }
        }
    }

    fn counts_mut(&mut self) -> [&mut usize; NAMES.len()] {
        [
            &mut self.calls,
            &mut self.frees,
            &mut self.removed_before_its_call,
            &mut self.removed_while_running,
            &mut self.descriptor_reused_in_turn,
            &mut self.disabled_then_reused,
            &mut self.stale_event_of_reused_descriptor,
            &mut self.updated_while_due,
            &mut self.shortened_while_due,
            &mut self.cancelled_changes,
            &mut self.refused_while_running,
            &mut self.refused_then_enabled,
            &mut self.urgent_with_stale_batch,
            &mut self.recreated,
            &mut self.used_after_reopening,
            &mut self.used_beside_duplicate,
            &mut self.lost_then_used,
            &mut self.stale_ids,
            &mut self.removed_while_freeing,
            &mut self.late_clock,
            &mut self.closed_in_call,
            &mut self.asked,
            &mut self.skipped,
            &mut self.removed_after_publication,
        ]
    }
}

impl std::fmt::Display for Situations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in NAMES.into_iter().zip(self.clone().counts_mut()) {
            writeln!(f, "{count:>9} {name}")?;
        }
        Ok(())
    }
}

impl World {
    /// Returns the number of stale events in the batch whose descriptor has a new registered handle.
    fn stale_events_of_reused_descriptors(&self) -> usize {
        let batch = self.batch.iter().flatten();
        let stale = batch.filter(|(token, _)| self.mirror.fd_of(*token).is_none());
        let is_reused = |fd: RawFd| {
            let mut entries = self.oracle.registrations().iter();
            entries.any(|entry| {
                entry.registered
                    && matches!(entry.kind, EntryKind::Handle { fd: own, .. } if own == fd)
            })
        };
        stale.filter(|(token, _)| is_reused(fd_in(*token))).count()
    }

    /// Returns the number of events in the batch whose registration has ended.
    fn stale_events(&self) -> usize {
        let batch = self.batch.iter().flatten();
        batch
            .filter(|(token, _)| self.mirror.fd_of(*token).is_none())
            .count()
    }

    /// Returns true if the poller refuses a pending change for the descriptor of the running handle.
    fn refuses_running_handle(&self, refused: u8) -> bool {
        let mut entries = self.oracle.registrations().iter();
        entries.any(|entry| {
            let EntryKind::Handle { fd, interest } = entry.kind else {
                return false;
            };
            let mut pending = self.oracle.pending().into_iter();
            entry.registered
                && entry.running
                && interest != Events::NONE
                && refused.checked_shr(fd.cast_unsigned()).unwrap_or(0) & 1 == 1
                && pending.any(|change| change.fd == fd)
        })
    }

    /// Returns true if `label` is a timeout with a longer interval than this one.
    fn is_longer_than(&self, label: Label, shorter: Interval) -> bool {
        let entry = self.oracle.registration(label);
        entry.is_some_and(|entry| {
            matches!(entry.kind, EntryKind::Timeout { interval: Some(own), .. }
                if shorter.is_some_and(|shorter| shorter < own))
        })
    }

    /// Returns true if the next step asks the table about the published call.
    fn asks(&self) -> bool {
        self.is_published && self.changes != self.seen
    }

    /// Returns true if the entry of a published call is removed.
    fn is_published_one_removed(&self) -> bool {
        let published = self.published();
        let entry = published.and_then(|label| self.oracle.registration(label));
        entry.is_some_and(|entry| !entry.registered)
    }

    /// Returns true if `label` is a disabled handle.
    fn is_disabled(&self, label: Label) -> bool {
        let entry = self.oracle.registration(label);
        entry.is_some_and(|entry| {
            matches!(
                entry.kind,
                EntryKind::Handle {
                    interest: Events::NONE,
                    ..
                }
            )
        })
    }
}

const NAMES: [&str; 24] = [
    "calls",
    "frees",
    "removed before its call",
    "removed while running",
    "descriptor reused in turn",
    "disabled, removed, reused in turn",
    "stale event of a reused descriptor",
    "updated while due",
    "shortened while due",
    "changes cancelled before the sleep",
    "refused while running",
    "refused, then enabled",
    "registration ended under a batch",
    "poller recreated",
    "number opened again, then used",
    "the same beside a duplicate",
    "lost, and used meanwhile",
    "stale ids",
    "removed while freeing",
    "late clock",
    "closed in a call",
    "asked about a call",
    "call skipped",
    "removed after its publication",
];
