//! Handles: the entries that watch a file descriptor.

use super::descriptors::Difference;
use super::lifecycle::Lifecycle;
use super::slots::NONE;
use super::{Core, Freed, NotRegistered, Refused, Removal};
use crate::events::Events;
use crate::id::{HandleId, Key, Token};
use crate::planted::{Defect, planted};
use std::os::fd::RawFd;

/// One interest in one descriptor.
#[derive(Clone, Debug)]
pub(super) struct Handle<P, S> {
    pub(super) serial: u64,
    pub(super) lifecycle: Lifecycle<P>,
    pub(super) source: S,
    pub(super) fd: RawFd,
    pub(super) interest: Events,
    /// The next handle on the same descriptor, older ones first; only registered ones are linked.
    pub(super) next: u32,
}

/// What the poller must be told about one descriptor, and the source that names it.
///
/// Changes are taken in order and applied before the lock is released; a deregistration in particular
/// before the removal returns, since the caller may close the descriptor next (EV-713).
#[derive(Debug)]
pub enum Change<'a, S> {
    /// The descriptor is new to the poller.
    Register {
        /// A source of the descriptor.
        source: &'a S,
        /// Its number.
        fd: RawFd,
        /// What to report when it is ready; never used before.
        token: Token,
        /// What its handles want together; not empty.
        interest: Events,
    },
    /// The poller knows the descriptor; its handles want something else now.
    Reregister {
        /// A source of the descriptor.
        source: &'a S,
        /// Its number.
        fd: RawFd,
        /// The token it was registered with.
        token: Token,
        /// What its handles want together; not empty.
        interest: Events,
    },
    /// Nobody wants anything of the descriptor. A poller reports hang-ups whatever the interest, so a
    /// disabled descriptor must be unknown to it (EV-401).
    Deregister {
        /// A source of the descriptor.
        source: &'a S,
        /// Its number.
        fd: RawFd,
    },
}

impl<P, S> Core<P, S> {
    /// Adds a handle on `fd`, which `source` names to the poller. An empty `interest` adds it disabled.
    ///
    /// The record of a descriptor is found by its number, so the table grows with the largest number:
    /// pass only descriptors that are open.
    ///
    /// # Errors
    ///
    /// [`Refused`], with `payload` and `source`: nothing happened, they still belong to the caller
    /// (EV-207).
    pub fn add_handle(
        &mut self,
        fd: RawFd,
        source: S,
        interest: Events,
        payload: P,
    ) -> Result<HandleId, (Refused, P, S)> {
        if self.closed {
            return Err((Refused::Closed, payload, source));
        }
        if fd < 0 {
            return Err((Refused::NotADescriptor(fd), payload, source));
        }
        let Some(slot) = self.handles.next_slot() else {
            return Err((Refused::Full, payload, source));
        };
        let serial = self.next_serial();
        self.handles.insert(Handle {
            serial,
            lifecycle: Lifecycle::Idle(payload),
            source,
            fd,
            interest,
            next: NONE,
        });
        self.link(fd, slot);
        self.unite(fd, slot);
        let core = self.number;
        Ok(HandleId(Key { serial, core, slot }))
    }

    /// Takes back a handle that was added under the same lock and that the poller then refused, as if it
    /// had never been added (EV-207). Apply the changes afterwards as always.
    ///
    /// # Panics
    ///
    /// If the handle is not registered and idle: the lock was released in between.
    pub fn withdraw_handle(&mut self, id: HandleId) -> (P, S) {
        let slot = id.0.slot;
        let fd = self.handle(id).expect("I6: withdrawn as it was added").fd;
        self.unlink(fd, slot);
        match self.descriptors.entry(fd).first {
            NONE => self.descriptors.forget(fd),
            other => self.unite(fd, other),
        }
        let entry = self.handles.remove(slot);
        match entry.map(|entry| (entry.lifecycle, entry.source)) {
            Some((Lifecycle::Idle(payload), source)) => (payload, source),
            _ => unreachable!("I6: a handle was withdrawn after it had been used"),
        }
    }

    /// Changes what a handle wants; an empty `interest` disables it (EV-401, EV-402).
    ///
    /// It counts for everything that is dispatched from now on, also in the running turn (EV-602…604).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn update_handle(&mut self, id: HandleId, interest: Events) -> Result<(), NotRegistered> {
        let entry = self.handle_mut(id)?;
        entry.interest = interest;
        let fd = entry.fd;
        self.unite(fd, id.0.slot);
        Ok(())
    }

    /// What a handle wants.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn interest(&self, id: HandleId) -> Result<Events, NotRegistered> {
        self.handle(id).map(|entry| entry.interest)
    }

    /// Removes a handle. From now on no call of it begins; its payload is handed out for its free call
    /// once nothing is left to call.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also when it was removed before: of several removals one succeeds (EV-701).
    pub fn remove_handle(&mut self, id: HandleId) -> Result<Removal, NotRegistered> {
        let entry = self.handle_mut(id)?;
        let removal = entry.lifecycle.remove().ok_or(NotRegistered)?;
        let fd = entry.fd;
        self.unlink(fd, id.0.slot);
        self.unite(fd, id.0.slot);
        self.frees.push_back(Freed::Handle(id.0.slot));
        if planted(Defect::FreeWhileRunning) {
            return Ok(Removal::Idle);
        }
        Ok(removal)
    }

    /// The next thing the poller must be told, taken as told. To be called after every operation until
    /// there is none.
    ///
    /// # Panics
    ///
    /// If the handle that caused a change was freed before the change was taken.
    pub fn next_change(&mut self) -> Option<Change<'_, S>> {
        let (fd, via, difference) = self.descriptors.next_difference()?;
        let entry = self.handles.get(via);
        let source = &entry.expect("I13: a change outlived its handle").source;
        Some(match difference {
            Difference::Register { token, interest } => Change::Register {
                source,
                fd,
                token,
                interest,
            },
            Difference::Reregister { token, interest } => Change::Reregister {
                source,
                fd,
                token,
                interest,
            },
            Difference::Deregister => Change::Deregister { source, fd },
        })
    }

    /// The registered handle that `id` names.
    pub(super) fn handle(&self, id: HandleId) -> Result<&Handle<P, S>, NotRegistered> {
        self.handles
            .get(id.0.slot)
            .filter(|entry| entry.is_named_by(id.0, self.number))
            .ok_or(NotRegistered)
    }

    fn handle_mut(&mut self, id: HandleId) -> Result<&mut Handle<P, S>, NotRegistered> {
        let number = self.number;
        self.handles
            .get_mut(id.0.slot)
            .filter(|entry| entry.is_named_by(id.0, number))
            .ok_or(NotRegistered)
    }

    /// Puts the handle behind the others on its descriptor.
    fn link(&mut self, fd: RawFd, slot: u32) {
        let descriptor = self.descriptors.entry(fd);
        if descriptor.first == NONE {
            descriptor.first = slot;
            return;
        }
        let mut at = descriptor.first;
        while let Some(entry) = self.handles.get_mut(at) {
            if entry.next == NONE {
                entry.next = slot;
                return;
            }
            at = entry.next;
        }
    }

    /// Takes the handle out of those on its descriptor.
    fn unlink(&mut self, fd: RawFd, slot: u32) {
        let next = match self.handles.get_mut(slot) {
            Some(entry) => std::mem::replace(&mut entry.next, NONE),
            None => return,
        };
        let descriptor = self.descriptors.entry(fd);
        if descriptor.first == slot {
            descriptor.first = next;
            return;
        }
        let mut at = descriptor.first;
        while let Some(entry) = self.handles.get_mut(at) {
            if entry.next == slot {
                entry.next = next;
                return;
            }
            at = entry.next;
        }
    }

    /// Works out anew what the handles of `fd` want together, after a change of the handle in `via`.
    fn unite(&mut self, fd: RawFd, via: u32) {
        let mut union = Events::NONE;
        let mut at = self.descriptors.entry(fd).first;
        while let Some(entry) = self.handles.get(at) {
            union |= entry.interest;
            at = entry.next;
        }
        self.descriptors.set_union(fd, union, via);
    }
}

impl<P, S> Handle<P, S> {
    fn is_named_by(&self, key: Key, core: u32) -> bool {
        self.serial == key.serial && core == key.core && self.lifecycle.is_registered()
    }
}
