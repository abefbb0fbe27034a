//! Handles: the entries that watch a file descriptor.

use super::descriptors::Difference;
use super::lifecycle::Lifecycle;
use super::slots::NONE;
use super::turn::RefusedHandle;
use super::{Effects, Freed, NotRegistered, Refused, Removal, Table};
use crate::events::Events;
use crate::id::{HandleId, Key, Token};
use std::os::fd::RawFd;

/// One interest in one descriptor.
#[derive(Clone, Debug)]
pub(super) struct Handle<P, S> {
    pub(super) lifecycle: Lifecycle<P>,
    pub(super) source: S,
    pub(super) fd: RawFd,
    /// Without unknown bits, so that an interest in nothing else is empty (EV-306).
    pub(super) interest: Events,
    /// Whether its descriptor was refused and it has not been called for it yet.
    pub(super) refused: bool,
    /// The next handle on the same descriptor, older ones first; only registered ones are linked.
    pub(super) next: u32,
}

/// What the poller must be told about one descriptor, and a source that names it.
///
/// Registrations and changes of interest may wait until the loop next sleeps, so that those which cancel
/// each other out cost nothing. The end of a registration that follows from a removal may not: the caller
/// may close the descriptor next (EV-713).
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
        /// What to report from now on; never used before. The number may be another file by now, and the
        /// poller may know both: one token for both would have the handles called for both (EV-1003).
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

impl<S> Change<'_, S> {
    /// The number of the descriptor.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        match *self {
            Change::Register { fd, .. }
            | Change::Reregister { fd, .. }
            | Change::Deregister { fd, .. } => fd,
        }
    }
}

impl<P, S> Table<P, S> {
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
    ) -> Result<(HandleId, Effects<'_, S>), (Refused, P, S)> {
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
            lifecycle: Lifecycle::new(serial, payload),
            source,
            fd,
            interest: interest & Events::ALL,
            refused: false,
            next: NONE,
        });
        self.link(fd, slot);
        self.update_union(fd);
        let table = self.number;
        Ok((
            HandleId(Key {
                serial,
                table,
                slot,
            }),
            self.effects(),
        ))
    }

    /// Changes what a handle wants; an empty `interest` disables it (EV-401, EV-402).
    ///
    /// It counts for everything that is dispatched from now on, also in the running turn (EV-602…604).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn update_handle(
        &mut self,
        id: HandleId,
        interest: Events,
    ) -> Result<Effects<'_, S>, NotRegistered> {
        let entry = self.handle_mut(id)?;
        entry.interest = interest & Events::ALL;
        let fd = entry.fd;
        self.update_union(fd);
        Ok(self.effects())
    }

    /// Removes a handle. From now on no call of it begins; its payload is handed out for its free call
    /// once nothing is left to call.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also when it was removed before: of several removals one succeeds (EV-701).
    pub fn remove_handle(
        &mut self,
        id: HandleId,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered> {
        let entry = self.handle_mut(id)?;
        let removal = entry.lifecycle.remove().ok_or(NotRegistered)?;
        let (fd, refused) = (entry.fd, entry.refused);
        if refused {
            self.turn.forget_refusal(id.0.serial.get());
        }
        self.unlink(fd, id.0.slot);
        self.update_union(fd);
        let unwatched = self.descriptors.end_unwanted(fd).then_some(id.0.slot);
        self.frees.push_back(Freed::Handle(id.0.slot));
        Ok((removal, self.effects_of_removal(unwatched)))
    }

    /// The handle in `slot`, which was removed and waits for its free call.
    pub(super) fn removed_handle(&self, slot: u32) -> &Handle<P, S> {
        let entry = self.handles.get(slot);
        entry.expect("I7: a removed handle stays until it is freed")
    }

    /// The next thing the poller must be told, taken as told. To be called before the loop sleeps until there is
    /// none.
    pub fn next_change(&mut self) -> Option<Change<'_, S>> {
        let (fd, difference) = self.descriptors.next_difference()?;
        let entry = self.handles.get(self.descriptors.entry(fd).first);
        // The last handle to go ends the registration at once, so where one is to be changed or ended
        // later, there are handles.
        let source = &entry.expect("I13: a change outlived its handles").source;
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

    /// Whether there is something to tell the poller.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.descriptors.has_differences()
    }

    /// Says that the poller refused the descriptor of a change just taken. Every enabled handle on it is
    /// called once more in the next turn, with [`Events::ERROR`], and disabled (EV-1001).
    pub fn refused(&mut self, fd: RawFd) {
        let mut at = self.descriptors.refused(fd);
        while let Some(entry) = self.handles.get_mut(at) {
            if !entry.interest.is_empty() && !std::mem::replace(&mut entry.refused, true) {
                let serial = entry.lifecycle.serial();
                self.turn
                    .refused
                    .push_back(RefusedHandle { serial, slot: at });
            }
            at = entry.next;
        }
    }

    /// Says that the poller does not know the descriptor of a [`Reregister`](Change::Reregister) just taken,
    /// which was closed and opened again as another file (EV-1002). The next change registers it under a
    /// token of its own: under the old one the poller may go on reporting the first file (EV-1003).
    pub fn registration_not_found(&mut self, fd: RawFd) {
        self.descriptors.registration_not_found(fd);
    }

    /// Says that the poller ended a registration by itself, because its descriptor is not open any more;
    /// what follows is as if it had [refused](Table::refused) the descriptor. To be said before the turn
    /// begins. A token that is no longer registered is passed over.
    pub fn lost(&mut self, token: Token) {
        if self.descriptors.first_of(token).is_some() {
            self.refused(token.fd());
        }
    }

    /// Says that the poller knows nothing any more: it is to be told of every descriptor anew, under new
    /// tokens. What it has reported so far counts.
    pub fn poller_was_recreated(&mut self) {
        self.descriptors.forget_registrations();
    }

    /// The registered handle that `id` names.
    fn handle_mut(&mut self, id: HandleId) -> Result<&mut Handle<P, S>, NotRegistered> {
        let number = self.number;
        self.handles
            .get_mut(id.0.slot)
            .filter(|entry| entry.lifecycle.is_named_by(id.0.serial) && number == id.0.table)
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
        self.turn.advance_cursor_past(slot, next);
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

    /// Works out anew what the handles of `fd` want together.
    pub(super) fn update_union(&mut self, fd: RawFd) {
        let mut union = Events::NONE;
        let mut at = self.descriptors.entry(fd).first;
        while let Some(entry) = self.handles.get(at) {
            union |= entry.interest;
            at = entry.next;
        }
        self.descriptors.set_union(fd, union);
    }
}
