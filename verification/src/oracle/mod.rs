//! A naive model of the table that computes the expected answers.
//!
//! The oracle is a list of every registration ever made, with flags and linear scans. It reuses no storage,
//! has no index and no sorted structure. It shares no algorithm with the table, so that it does not share
//! the table's mistakes. It uses neither ids nor tokens: a [`Label`] names a registration permanently.

mod calls;
mod entry;
mod form;
mod interest;

pub use entry::{Answer, EntryKind, Label, Registration};
pub use interest::InterestChange;

use calls::Calls;
use eventry::table::{Refused, Removal};
use eventry::{Events, MonotonicTime};
use interest::PollerView;
use std::os::fd::RawFd;

/// The naive model.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Every registration ever made, oldest first.
    registrations: Vec<Registration>,
    /// Number of registrations ever made.
    added: u32,
    /// Number of them when the poller last got its changes.
    flushed: u32,
    /// Timeouts in the order in which they were last armed.
    armed: Vec<Label>,
    /// Removed entries that are not freed yet, in the order of removal.
    removed: Vec<Label>,
    poller: PollerView,
    /// Handles to which a refusal is still to be reported, in the order of the refusals.
    refused: Vec<Label>,
    turn: Turn,
    calls: Calls,
    /// Latest time that was passed to the table.
    clock: MonotonicTime,
    closed: bool,
}

/// Remaining calls of the turn. During the turn the lists only shrink.
#[derive(Clone, Debug, Default)]
struct Turn {
    now: MonotonicTime,
    /// Timeouts that were due at the start of the turn and were neither updated nor removed since.
    due: Vec<Label>,
    /// Handles whose descriptor was ready at the start of the turn, and the events.
    ready: Vec<(Label, Events)>,
    /// Handles whose descriptor had been refused before the turn.
    refused: Vec<Label>,
    /// Entries that the turn frees, decided when no other call is left.
    frees: Option<Vec<Label>>,
}

impl Oracle {
    /// Adds a handle.
    pub fn add_handle(&mut self, fd: RawFd, interest: Events) -> Answer {
        if self.closed {
            return Answer::Refused(Refused::Closed);
        }
        if fd < 0 {
            return Answer::Refused(Refused::NotADescriptor(fd));
        }
        let added = self.add(EntryKind::Handle { fd, interest });
        self.record_use(fd, interest);
        added
    }

    /// Adds a timeout.
    pub fn add_timeout(&mut self, now: MonotonicTime, interval: Option<u64>) -> Answer {
        if self.closed {
            return Answer::Refused(Refused::Closed);
        }
        let deadline = None;
        let added = self.add(EntryKind::Timeout { interval, deadline });
        let now = self.advance(now);
        if let Answer::Added(label) = added {
            self.arm(label, now, interval);
        }
        added
    }

    /// Updates a handle.
    pub fn update_handle(&mut self, label: Label, interest: Events) -> Answer {
        self.record_change_of(label);
        match self.registered(label).map(|entry| &mut entry.kind) {
            Some(EntryKind::Handle { interest: old, fd }) => {
                *old = interest;
                let fd = *fd;
                self.record_use(fd, interest);
                if interest != Events::NONE {
                    // The poller decides anew.
                    self.refused.retain(|refused| *refused != label);
                    self.turn.refused.retain(|refused| *refused != label);
                }
                Answer::Done
            }
            _ => Answer::NotRegistered,
        }
    }

    /// Updates a timeout: it is due one interval from `now`, and not in this turn.
    pub fn update_timeout(
        &mut self,
        label: Label,
        now: MonotonicTime,
        interval: Option<u64>,
    ) -> Answer {
        self.record_change_of(label);
        if self.registered(label).is_none() {
            return Answer::NotRegistered;
        }
        let now = self.advance(now);
        self.turn.due.retain(|due| *due != label);
        self.arm(label, now, interval);
        Answer::Done
    }

    /// Removes an entry.
    pub fn remove(&mut self, label: Label) -> Answer {
        self.record_change_of(label);
        let Some(entry) = self.registered(label) else {
            return Answer::NotRegistered;
        };
        entry.registered = false;
        let removal = if entry.running {
            Removal::InFlight
        } else {
            Removal::Idle
        };
        if let EntryKind::Handle { fd, .. } = entry.kind {
            self.record_removal(label, fd);
        }
        self.removed.push(label);
        self.turn.due.retain(|due| *due != label);
        Answer::Removed(removal)
    }

    /// Returns the next deadline: the minimum over all registered and enabled timeouts.
    #[must_use]
    pub fn deadline(&self) -> Option<MonotonicTime> {
        let registered = self.registrations.iter().filter(|entry| entry.registered);
        registered.filter_map(Registration::deadline).min()
    }

    /// Begins a turn in which the descriptors `reported` are ready. Handles that were added after the last flush may
    /// be for other files than the reports.
    pub fn begin_turn(&mut self, now: MonotonicTime, reported: &[(RawFd, Events)]) {
        let now = self.advance(now);
        let position = |label: Label| self.armed.iter().position(|armed| *armed == label);
        let due = self.registrations.iter().filter(|entry| entry.registered);
        let mut due: Vec<(MonotonicTime, Option<usize>, Label)> = due
            .filter_map(|entry| Some((entry.deadline()?, position(entry.label), entry.label)))
            .filter(|(deadline, ..)| *deadline <= now)
            .collect();
        due.sort_unstable();
        let mut ready = Vec::new();
        for (fd, events) in reported {
            for entry in self.registrations.iter().filter(|entry| entry.registered) {
                if matches!(entry.kind, EntryKind::Handle { fd: own, .. } if own == *fd)
                    && entry.label.0 < self.flushed
                {
                    ready.push((entry.label, *events));
                }
            }
        }
        self.turn = Turn {
            now,
            due: due.into_iter().map(|(.., label)| label).collect(),
            ready,
            refused: self.refused.clone(),
            frees: None,
        };
    }

    /// Begins a turn that makes only free calls.
    pub fn begin_frees(&mut self) {
        self.turn.due.clear();
        self.turn.ready.clear();
        self.turn.refused.clear();
        self.turn.frees = Some(self.removed.clone());
    }

    /// Makes the next free call. There must be no other call in the turn.
    pub fn next_free(&mut self) -> Answer {
        let frees = self.turn.frees.get_or_insert_with(|| self.removed.clone());
        let Some(label) = pop_front(frees) else {
            return Answer::Nothing;
        };
        self.removed.retain(|removed| *removed != label);
        for entry in &mut self.registrations {
            entry.freed |= entry.label == label;
        }
        Answer::Free(label)
    }

    /// Drops the loop: all entries are removed, oldest first.
    pub fn close(&mut self) {
        self.closed = true;
        for entry in &mut self.registrations {
            if std::mem::take(&mut entry.registered) {
                self.removed.push(entry.label);
            }
        }
        self.turn.due.clear();
        self.turn.ready.clear();
        self.calls.is_changed = self.has_calls_out();
        self.drop_poller();
    }

    /// Drops the freed entry `label`, as if it had not been added.
    pub(crate) fn forget(&mut self, label: Label) {
        self.registrations.retain(|entry| entry.label != label);
        self.armed.retain(|armed| *armed != label);
    }

    /// Returns the union of the interests of the registered handles of `fd`.
    #[must_use]
    pub fn union(&self, fd: RawFd) -> Events {
        let mut union = Events::NONE;
        for entry in self.registrations.iter().filter(|entry| entry.registered) {
            if let EntryKind::Handle { fd: own, interest } = entry.kind
                && own == fd
            {
                union |= interest;
            }
        }
        union
    }

    /// Returns all entries, except those that [`forget`](Oracle::forget) dropped, oldest first.
    #[must_use]
    pub fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// Returns the entry `label`.
    #[must_use]
    pub fn registration(&self, label: Label) -> Option<&Registration> {
        self.registrations.iter().find(|entry| entry.label == label)
    }

    /// Returns the number of used labels.
    #[must_use]
    pub fn added(&self) -> u32 {
        self.added
    }

    /// Returns the first label that was not used when the poller last got its changes.
    #[must_use]
    pub fn flushed(&self) -> u32 {
        self.flushed
    }

    /// Returns the number of removed entries that are not freed yet.
    #[must_use]
    pub fn pending_frees(&self) -> usize {
        self.removed.len()
    }

    /// Returns true if the loop was dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns true if the turn is going to call `label`, unless a change prevents it.
    #[must_use]
    pub fn will_call(&self, label: Label) -> bool {
        self.turn.due.contains(&label)
            || self
                .calls
                .left
                .iter()
                .skip(usize::from(self.calls.has_begun))
                .any(|call| call.label == label)
            || self.turn.ready.iter().any(|(ready, _)| *ready == label)
            || self.turn.refused.contains(&label)
    }

    /// Returns true if the turn has begun its free calls and some are left.
    #[must_use]
    pub fn is_freeing(&self) -> bool {
        let frees = self.turn.frees.as_ref();
        frees.is_some_and(|frees| !frees.is_empty())
    }

    /// Returns true if no call of the turn is left.
    #[must_use]
    pub fn has_turn_ended(&self) -> bool {
        let frees = self.turn.frees.as_ref();
        frees.is_some_and(Vec::is_empty)
    }

    fn add(&mut self, kind: EntryKind) -> Answer {
        let label = Label(self.added);
        self.added += 1;
        self.registrations.push(Registration {
            label,
            kind,
            registered: true,
            running: false,
            freed: false,
        });
        Answer::Added(label)
    }

    /// Arms a due timeout whose call is taken: it is due again one interval after the turn's time, unless it is
    /// updated or removed.
    fn fire(&mut self, label: Label) {
        let now = self.turn.now;
        if let Some(entry) = self.registered(label)
            && let EntryKind::Timeout { interval, .. } = entry.kind
        {
            self.arm(label, now, interval);
        }
    }

    fn arm(&mut self, label: Label, now: MonotonicTime, interval: Option<u64>) {
        let due = interval.map(|interval| sum(now, interval));
        if let Some(entry) = self.registered(label) {
            let deadline = due;
            entry.kind = EntryKind::Timeout { interval, deadline };
        }
        self.armed.retain(|armed| *armed != label);
        self.armed.push(label);
    }

    fn registered(&mut self, label: Label) -> Option<&mut Registration> {
        let mut registered = self
            .registrations
            .iter_mut()
            .filter(|entry| entry.registered);
        registered.find(|entry| entry.label == label)
    }

    fn advance(&mut self, now: MonotonicTime) -> MonotonicTime {
        self.clock = self.clock.max(now);
        self.clock
    }
}

/// Returns the events that a handle with this interest gets of `ready` (EV-303, EV-304, EV-401).
pub(crate) fn share(interest: Events, ready: Events) -> Events {
    if interest == Events::NONE {
        return Events::NONE;
    }
    let asked = interest.bits() | Events::ERROR.bits() | Events::HANGUP.bits();
    Events::from_bits_truncate(ready.bits() & asked)
}

/// Adds an interval to a time. A sum beyond the last point in time is the last one (EV-810), as is the point
/// just before it.
fn sum(now: MonotonicTime, interval: u64) -> MonotonicTime {
    let nanos = u128::from(now.as_nanos()) + u128::from(interval);
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    MonotonicTime::from_nanos(if nanos == u64::MAX - 1 {
        u64::MAX
    } else {
        nanos
    })
}

fn pop_front<T>(list: &mut Vec<T>) -> Option<T> {
    (!list.is_empty()).then(|| list.remove(0))
}
