//! What the poller was told, what it must be told when the loop next sleeps, and who must hear of a
//! refusal.

use super::{Answer, Label, Oracle, What};
use eventry::Events;
use std::os::fd::RawFd;

/// One thing that the poller is told: nothing wanted stands for a descriptor it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The descriptor.
    pub fd: RawFd,
    /// What was wanted of it, as far as the poller knew.
    pub before: Events,
    /// What is wanted of it now.
    pub after: Events,
}

/// Between the table and the poller.
#[derive(Clone, Debug, Default)]
pub(super) struct Untold {
    /// What the poller was told, for every descriptor it knows.
    told: Vec<(RawFd, Events)>,
    /// The descriptors of whose handles an op has made something else than the poller was told, since the
    /// loop last slept. The first one comes first; another op may have made it undone.
    changed: Vec<RawFd>,
    /// The descriptor that the poller must forget before anything else happens.
    urgent: Option<RawFd>,
}

impl Oracle {
    /// The loop is about to sleep, and the poller refuses the descriptors that `refuses` names. Whoever
    /// wants something of one is to hear of it once.
    pub fn flush(&mut self, refuses: impl Fn(RawFd) -> bool) -> Answer {
        let pending = self.pending();
        self.untold.changed.clear();
        for change in &pending {
            self.note_told(change.fd, change.after);
            if change.after == Events::NONE || !refuses(change.fd) {
                continue;
            }
            self.note_told(change.fd, Events::NONE);
            for entry in self.registrations.iter().filter(|entry| entry.registered) {
                if matches!(entry.what, What::Handle { fd, interest }
                    if fd == change.fd && interest != Events::NONE)
                    && !self.refused.contains(&entry.label)
                {
                    self.refused.push(entry.label);
                }
            }
        }
        Answer::Told(pending)
    }

    /// What the poller must be told when the loop sleeps: what differs from what it was told, the
    /// descriptor that was changed first at the front.
    #[must_use]
    pub fn pending(&self) -> Vec<Told> {
        let changed = self.untold.changed.iter();
        let all = changed.map(|&fd| Told {
            fd,
            before: self.told(fd),
            after: self.union(fd),
        });
        all.filter(|change| change.before != change.after).collect()
    }

    /// The descriptor that the poller must forget at once, because of the op that was just made.
    pub fn take_urgent(&mut self) -> Option<RawFd> {
        self.untold.urgent.take()
    }

    /// What the poller was told of `fd`.
    #[must_use]
    pub fn told(&self, fd: RawFd) -> Events {
        let mut told = self.untold.told.iter();
        let own = told.find(|(own, _)| *own == fd);
        own.map_or(Events::NONE, |(_, events)| *events)
    }

    /// The descriptors that were changed since the loop last slept, also if that was undone.
    #[must_use]
    pub fn changed(&self) -> &[RawFd] {
        &self.untold.changed
    }

    /// The descriptors that the poller knows, or that some handle was added on.
    #[must_use]
    pub fn descriptors(&self) -> Vec<RawFd> {
        let handles = self.registrations.iter();
        let handles = handles.filter_map(|entry| match entry.what {
            What::Handle { fd, .. } => Some(fd),
            What::Timeout { .. } => None,
        });
        let told = self.untold.told.iter().map(|(fd, _)| *fd);
        told.chain(handles).collect()
    }

    /// Those that are to hear that their descriptor was refused, unless something changes.
    #[must_use]
    pub fn refused(&self) -> &[Label] {
        &self.refused
    }

    /// Whether nobody is left who wants something of `fd` and does not wait to hear that it was refused.
    #[must_use]
    pub fn all_are_to_hear(&self, fd: RawFd) -> bool {
        let mut registered = self.registrations.iter().filter(|entry| entry.registered);
        registered.all(|entry| {
            let wants = matches!(entry.what, What::Handle { fd: own, interest }
                if own == fd && interest != Events::NONE);
            !wants || self.refused.contains(&entry.label)
        })
    }

    /// Whether a turn has something to do whatever the poller reports.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.removed.is_empty() || !self.refused.is_empty()
    }

    /// Some handle of `fd` is another than before.
    pub(super) fn note_change(&mut self, fd: RawFd) {
        if self.told(fd) != self.union(fd) && !self.untold.changed.contains(&fd) {
            self.untold.changed.push(fd);
        }
    }

    /// A handle of `fd` was removed: if nobody wants anything of it any more it may be closed next.
    pub(super) fn note_removal(&mut self, label: Label, fd: RawFd) {
        self.refused.retain(|refused| *refused != label);
        self.turn.refused.retain(|refused| *refused != label);
        self.note_change(fd);
        if self.told(fd) != Events::NONE && self.union(fd) == Events::NONE {
            self.note_told(fd, Events::NONE);
            self.untold.urgent = Some(fd);
        }
    }

    /// The poller knows nothing any more, and must be told of everything that somebody wants.
    pub fn poller_was_recreated(&mut self) {
        let mut known: Vec<RawFd> = self.untold.told.drain(..).map(|(fd, _)| fd).collect();
        known.sort_unstable();
        for fd in known {
            self.note_change(fd);
        }
    }

    /// The poller is gone.
    pub(super) fn forget_poller(&mut self) {
        self.untold = Untold::default();
        self.refused.clear();
        self.turn.refused.clear();
    }

    fn note_told(&mut self, fd: RawFd, events: Events) {
        self.untold.told.retain(|(own, _)| *own != fd);
        if events != Events::NONE {
            self.untold.told.push((fd, events));
        }
    }
}
