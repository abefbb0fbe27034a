//! What the table must do, said in the plainest way.
//!
//! A list of every registration ever made, flags, and linear scans. Nothing is reused, nothing is looked
//! up, no order is kept by a structure: the oracle shares no cleverness with the table, so that it does not
//! share its mistakes either. It sees neither ids nor tokens: a [`Label`] names a registration for ever.

mod entry;
mod form;
mod told;

pub use entry::{Answer, Label, Registration, What};
pub use told::Told;

use eventry::table::{Refused, Removal};
use eventry::{Events, MonotonicTime};
use std::os::fd::RawFd;
use told::Untold;

/// The naive model.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Every registration ever made, oldest first.
    registrations: Vec<Registration>,
    /// How many there ever were.
    added: u32,
    /// Timeouts, the one that was armed last at the end.
    armed: Vec<Label>,
    /// What was removed and not freed yet, in the order of removal.
    removed: Vec<Label>,
    untold: Untold,
    /// The handles that are to hear that their descriptor was refused, in the order of the refusals.
    refused: Vec<Label>,
    turn: Turn,
    /// The latest time anybody spoke of.
    clock: MonotonicTime,
    closed: bool,
}

/// What is left of the turn; all lists only shrink while it lasts.
#[derive(Clone, Debug, Default)]
struct Turn {
    now: MonotonicTime,
    /// The timeouts that were due when it began and have not been touched since.
    due: Vec<Label>,
    /// The handles whose descriptor was ready when it began, and what for.
    ready: Vec<(Label, Events)>,
    /// The handles whose descriptor had been refused when it began.
    refused: Vec<Label>,
    /// What is freed in it, settled when nothing else was left to call.
    frees: Option<Vec<Label>>,
}

impl Oracle {
    /// A handle is added.
    pub fn add_handle(&mut self, fd: RawFd, interest: Events) -> Answer {
        if self.closed {
            return Answer::Refused(Refused::Closed);
        }
        if fd < 0 {
            return Answer::Refused(Refused::NotADescriptor(fd));
        }
        let added = self.add(What::Handle { fd, interest });
        self.note_change(fd);
        added
    }

    /// A timeout is added.
    pub fn add_timeout(&mut self, now: MonotonicTime, interval: Option<u64>) -> Answer {
        if self.closed {
            return Answer::Refused(Refused::Closed);
        }
        let deadline = None;
        let added = self.add(What::Timeout { interval, deadline });
        let now = self.advance(now);
        if let Answer::Added(label) = added {
            self.arm(label, now, interval);
        }
        added
    }

    /// A handle is updated.
    pub fn update_handle(&mut self, label: Label, interest: Events) -> Answer {
        match self.registered(label).map(|entry| &mut entry.what) {
            Some(What::Handle { interest: old, fd }) => {
                *old = interest;
                let fd = *fd;
                self.note_change(fd);
                Answer::Done
            }
            _ => Answer::NotRegistered,
        }
    }

    /// A timeout is updated: whatever it was, it is due an interval from now and not in this turn.
    pub fn update_timeout(
        &mut self,
        label: Label,
        now: MonotonicTime,
        interval: Option<u64>,
    ) -> Answer {
        if self.registered(label).is_none() {
            return Answer::NotRegistered;
        }
        let now = self.advance(now);
        self.turn.due.retain(|due| *due != label);
        self.arm(label, now, interval);
        Answer::Done
    }

    /// An entry is removed.
    pub fn remove(&mut self, label: Label) -> Answer {
        let Some(entry) = self.registered(label) else {
            return Answer::NotRegistered;
        };
        entry.registered = false;
        let removal = if entry.running {
            Removal::InFlight
        } else {
            Removal::Idle
        };
        if let What::Handle { fd, .. } = entry.what {
            self.note_removal(label, fd);
        }
        self.removed.push(label);
        self.turn.due.retain(|due| *due != label);
        Answer::Removed(removal)
    }

    /// When the next timeout is due: the minimum over all that are registered and enabled.
    #[must_use]
    pub fn deadline(&self) -> Option<MonotonicTime> {
        let registered = self.registrations.iter().filter(|entry| entry.registered);
        registered.filter_map(Registration::deadline).min()
    }

    /// A turn begins, and these descriptors are ready.
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
                if matches!(entry.what, What::Handle { fd: own, .. } if own == *fd) {
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

    /// A turn begins that only frees.
    pub fn begin_frees(&mut self) {
        self.turn.due.clear();
        self.turn.ready.clear();
        self.turn.refused.clear();
        self.turn.frees = Some(self.removed.clone());
    }

    /// The next call.
    pub fn next_call(&mut self) -> Answer {
        if self.turn.frees.is_none() {
            if let Some(label) = pop_front(&mut self.turn.due) {
                return self.fire(label);
            }
            while let Some((label, events)) = pop_front(&mut self.turn.ready) {
                let Some(entry) = self.registered(label) else {
                    continue;
                };
                let What::Handle { fd, interest } = entry.what else {
                    continue;
                };
                let delivered = share(interest, events);
                if !delivered.is_empty() {
                    entry.running = true;
                    return Answer::Handle(label, fd, delivered);
                }
            }
            while let Some(label) = pop_front(&mut self.turn.refused) {
                self.refused.retain(|refused| *refused != label);
                if let Some(entry) = self.registered(label)
                    && let What::Handle { fd, interest } = &mut entry.what
                    && *interest != Events::NONE
                {
                    *interest = Events::NONE;
                    let fd = *fd;
                    entry.running = true;
                    self.note_change(fd);
                    return Answer::Handle(label, fd, Events::ERROR);
                }
            }
        }
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

    /// The call of `label` is over.
    pub fn finish(&mut self, label: Label) {
        for entry in &mut self.registrations {
            entry.running &= entry.label != label;
        }
    }

    /// The loop is dropped: everything is removed, oldest first.
    pub fn close(&mut self) {
        self.closed = true;
        for entry in &mut self.registrations {
            if std::mem::take(&mut entry.registered) {
                self.removed.push(entry.label);
            }
        }
        self.turn.due.clear();
        self.turn.ready.clear();
        self.forget_poller();
    }

    /// Drops what is known of `label`, which was freed, as if it had never been.
    pub(crate) fn forget(&mut self, label: Label) {
        self.registrations.retain(|entry| entry.label != label);
        self.armed.retain(|armed| *armed != label);
    }

    /// What the poller must report for `fd`: what its registered handles want together.
    #[must_use]
    pub fn union(&self, fd: RawFd) -> Events {
        let mut union = Events::NONE;
        for entry in self.registrations.iter().filter(|entry| entry.registered) {
            if let What::Handle { fd: own, interest } = entry.what
                && own == fd
            {
                union |= interest;
            }
        }
        union
    }

    /// Every registration that has not been forgotten, oldest first.
    #[must_use]
    pub fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// The registration with this label.
    #[must_use]
    pub fn registration(&self, label: Label) -> Option<&Registration> {
        self.registrations.iter().find(|entry| entry.label == label)
    }

    /// How many labels have been used.
    #[must_use]
    pub fn added(&self) -> u32 {
        self.added
    }

    /// How many entries were removed and not freed yet.
    #[must_use]
    pub fn pending_frees(&self) -> usize {
        self.removed.len()
    }

    /// Whether the loop was dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the turn still means to call `label`, unless something changes.
    #[must_use]
    pub fn means_to_call(&self, label: Label) -> bool {
        self.turn.due.contains(&label)
            || self.turn.ready.iter().any(|(ready, _)| *ready == label)
            || self.turn.refused.contains(&label)
    }

    /// Whether the turn has come to its free calls and some are left.
    #[must_use]
    pub fn is_freeing(&self) -> bool {
        let frees = self.turn.frees.as_ref();
        frees.is_some_and(|frees| !frees.is_empty())
    }

    /// Whether the loop would find nothing more to call in its turn.
    #[must_use]
    pub fn turn_is_over(&self) -> bool {
        let frees = self.turn.frees.as_ref();
        frees.is_some_and(Vec::is_empty)
    }

    fn add(&mut self, what: What) -> Answer {
        let label = Label(self.added);
        self.added += 1;
        self.registrations.push(Registration {
            label,
            what,
            registered: true,
            running: false,
            freed: false,
        });
        Answer::Added(label)
    }

    /// Calls a due timeout. It is due again an interval after the turn's time, unless its callback says
    /// otherwise.
    fn fire(&mut self, label: Label) -> Answer {
        let now = self.turn.now;
        if let Some(entry) = self.registered(label)
            && let What::Timeout { interval, .. } = entry.what
        {
            entry.running = true;
            self.arm(label, now, interval);
        }
        Answer::Timeout(label)
    }

    fn arm(&mut self, label: Label, now: MonotonicTime, interval: Option<u64>) {
        let due = interval.map(|interval| sum(now, interval));
        if let Some(entry) = self.registered(label) {
            let deadline = due;
            entry.what = What::Timeout { interval, deadline };
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

/// What a handle with this interest is told when `ready` is pending (EV-303, EV-304, EV-401).
pub(crate) fn share(interest: Events, ready: Events) -> Events {
    if interest == Events::NONE {
        return Events::NONE;
    }
    let asked = interest.bits() | Events::ERROR.bits() | Events::HANGUP.bits();
    Events::from_bits_truncate(ready.bits() & asked)
}

/// A point in time beyond the last one is the last one (EV-810), and so is the one before it.
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
