//! The poller's registrations, the changes that it gets when the loop next sleeps, and the handles to which a
//! refusal is reported.

use super::{Answer, EntryKind, Label, Oracle};
use eventry::Events;
use std::os::fd::RawFd;

/// A change of the registered interest in one descriptor; an empty interest means no registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterestChange {
    /// The descriptor.
    pub fd: RawFd,
    /// Interest that was registered before.
    pub before: Events,
    /// Interest that is registered now.
    pub after: Events,
}

/// State of the poller, and changes that it must get.
#[derive(Clone, Debug, Default)]
pub(super) struct PollerView {
    /// Registered interest in each registered descriptor.
    registered: Vec<(RawFd, Events)>,
    /// Descriptors whose union differed from the registered interest after some op since the loop last
    /// slept, or of which a handle was added or enabled, in the order of their first change. A later op may
    /// have restored the registered interest.
    changed: Vec<RawFd>,
    /// Descriptor that must be deregistered before the next op.
    urgent: Option<RawFd>,
}

impl Oracle {
    /// Passes the pending changes to the poller, which refuses the descriptors that `refuses` selects. Each
    /// enabled handle of a refused descriptor is called with an error once.
    pub fn flush(&mut self, refuses: impl Fn(RawFd) -> bool) -> Answer {
        let pending = self.pending();
        self.flushed = self.added;
        self.poller.changed.clear();
        for change in &pending {
            self.set_registered_interest(change.fd, change.after);
            if change.after == Events::NONE || !refuses(change.fd) {
                continue;
            }
            self.refuse(change.fd);
        }
        Answer::Flushed(pending)
    }

    /// Records that the wait ended the registration of `fd`, whose number was closed. If a change of it waits for the
    /// poller, the number may be open again, and is registered again. Otherwise this is a refusal.
    pub fn lost(&mut self, fd: RawFd) {
        if self.poller.changed.contains(&fd) {
            self.set_registered_interest(fd, Events::NONE);
        } else {
            self.refuse(fd);
        }
    }

    /// Ends the registration of `fd`, which is reported to every enabled handle.
    fn refuse(&mut self, refused: RawFd) {
        self.set_registered_interest(refused, Events::NONE);
        for entry in self.registrations.iter().filter(|entry| entry.registered) {
            if matches!(entry.kind, EntryKind::Handle { fd, interest }
                if fd == refused && interest != Events::NONE)
                && !self.refused.contains(&entry.label)
            {
                self.refused.push(entry.label);
            }
        }
    }

    /// Returns the changes that the poller gets when the loop sleeps, in the order of the first changes. Descriptors
    /// that are not registered and have no enabled handle again are left out.
    #[must_use]
    pub fn pending(&self) -> Vec<InterestChange> {
        let changed = self.poller.changed.iter();
        let all = changed.map(|&fd| InterestChange {
            fd,
            before: self.registered_interest(fd),
            after: self.union(fd),
        });
        all.filter(|change| change.before != Events::NONE || change.after != Events::NONE)
            .collect()
    }

    /// Takes the descriptor that must be deregistered because of the last op.
    pub fn take_urgent(&mut self) -> Option<RawFd> {
        self.poller.urgent.take()
    }

    /// Returns the registered interest in `fd`.
    #[must_use]
    pub fn registered_interest(&self, fd: RawFd) -> Events {
        let mut registered = self.poller.registered.iter();
        let own = registered.find(|(own, _)| *own == fd);
        own.map_or(Events::NONE, |(_, events)| *events)
    }

    /// Returns the descriptors that were changed since the loop last slept, including changes that were
    /// undone.
    #[must_use]
    pub fn changed(&self) -> &[RawFd] {
        &self.poller.changed
    }

    /// Returns the registered descriptors and those of all handles ever added.
    #[must_use]
    pub fn descriptors(&self) -> Vec<RawFd> {
        let handles = self.registrations.iter();
        let handles = handles.filter_map(|entry| match entry.kind {
            EntryKind::Handle { fd, .. } => Some(fd),
            EntryKind::Timeout { .. } => None,
        });
        let registered = self.poller.registered.iter().map(|(fd, _)| *fd);
        registered.chain(handles).collect()
    }

    /// Returns the handles to which a refusal is still to be reported.
    #[must_use]
    pub fn refused(&self) -> &[Label] {
        &self.refused
    }

    /// Returns true if a refusal is still to be reported to every enabled handle of `fd`.
    #[must_use]
    pub fn refusal_is_pending_for_all(&self, fd: RawFd) -> bool {
        let mut registered = self.registrations.iter().filter(|entry| entry.registered);
        registered.all(|entry| {
            let wants = matches!(entry.kind, EntryKind::Handle { fd: own, interest }
                if own == fd && interest != Events::NONE);
            !wants || self.refused.contains(&entry.label)
        })
    }

    /// Returns true if a turn has work even without events.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.removed.is_empty() || !self.refused.is_empty()
    }

    /// Records that a handle of `fd` was added or updated with this interest. Unless it is empty, the poller must
    /// register the number again, since it may be another file.
    pub(super) fn record_use(&mut self, fd: RawFd, interest: Events) {
        self.record_change(fd);
        if interest != Events::NONE && !self.poller.changed.contains(&fd) {
            self.poller.changed.push(fd);
        }
    }

    /// Records that a handle of `fd` was changed or removed.
    pub(super) fn record_change(&mut self, fd: RawFd) {
        if self.registered_interest(fd) != self.union(fd) && !self.poller.changed.contains(&fd) {
            self.poller.changed.push(fd);
        }
    }

    /// Records the removal of a handle of `fd`. A descriptor without an enabled handle is deregistered at
    /// once, because the caller may close it next.
    pub(super) fn record_removal(&mut self, label: Label, fd: RawFd) {
        self.refused.retain(|refused| *refused != label);
        self.turn.refused.retain(|refused| *refused != label);
        self.record_change(fd);
        if self.registered_interest(fd) != Events::NONE && self.union(fd) == Events::NONE {
            self.set_registered_interest(fd, Events::NONE);
            self.poller.urgent = Some(fd);
        }
    }

    /// Drops all registrations; those that enabled handles need are pending changes again.
    pub fn poller_was_recreated(&mut self) {
        let mut known: Vec<RawFd> = self.poller.registered.drain(..).map(|(fd, _)| fd).collect();
        known.sort_unstable();
        for fd in known {
            self.record_change(fd);
        }
    }

    /// Drops the poller with the loop.
    pub(super) fn drop_poller(&mut self) {
        self.poller = PollerView::default();
        self.refused.clear();
        self.turn.refused.clear();
    }

    fn set_registered_interest(&mut self, fd: RawFd, events: Events) {
        self.poller.registered.retain(|(own, _)| *own != fd);
        if events != Events::NONE {
            self.poller.registered.push((fd, events));
        }
    }
}
