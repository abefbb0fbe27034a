//! Handles: the entries that watch file descriptors.

use super::descriptors::Difference;
use super::lifecycle::Lifecycle;
use super::slots::NONE;
use super::turn::RefusedHandle;
use super::{Effects, Freed, NotRegistered, Refused, Removal, Table};
use crate::events::Events;
use crate::id::{HandleId, Key, Token};
use std::os::fd::RawFd;

/// One handle: an interest in one descriptor.
#[derive(Clone, Debug)]
pub(super) struct Handle<P> {
    pub(super) lifecycle: Lifecycle<P>,
    pub(super) fd: RawFd,
    /// The interest without unknown bits, so that an interest in unknown bits alone is empty (EV-306).
    pub(super) interest: Events,
    /// True if the poller refused the descriptor and the handle has not been called for the refusal yet.
    pub(super) refused: bool,
    /// The slot of the next handle on the same descriptor, in the order of addition. Only registered handles are
    /// linked.
    pub(super) next: u32,
}

/// A change of the poller's registration of one descriptor.
///
/// Registrations and changes of interest may wait until the loop next sleeps, so that changes that cancel
/// each other out cost nothing. A deregistration that follows from a removal may not wait: the caller may close
/// the descriptor next (EV-713).
#[derive(Debug)]
pub enum Change<'a, S> {
    /// The descriptor is to be registered with the poller.
    Register {
        /// A source of the descriptor.
        source: &'a S,
        /// Its number.
        fd: RawFd,
        /// The token to report when the descriptor is ready. It was never used before.
        token: Token,
        /// The union of the interests of its handles. It is not empty.
        interest: Events,
    },
    /// The interest in a registered descriptor has changed, or a handle on it was added or enabled.
    Reregister {
        /// A source of the descriptor.
        source: &'a S,
        /// Its number.
        fd: RawFd,
        /// The token to report from now on. It was never used before: the number may refer to another file
        /// by now, and the poller may still watch both files. With one token for both, the handles would be
        /// called for both (EV-1003).
        token: Token,
        /// The union of the interests of its handles. It is not empty.
        interest: Events,
    },
    /// No handle has an interest in the descriptor. A poller reports hang-ups independently of the interest, so a
    /// disabled descriptor must not be registered (EV-401).
    Deregister {
        /// A source of the descriptor.
        source: &'a S,
        /// Its number.
        fd: RawFd,
    },
}

impl<S> Change<'_, S> {
    /// Returns the number of the descriptor.
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
    /// Adds a handle on `fd`, which the poller identifies by `source`. With an empty `interest` the handle is
    /// disabled. Otherwise the descriptor is registered, or registered again: its number may be another file than the
    /// one that was registered for other handles (EV-1002).
    ///
    /// The records of descriptors are indexed by number, so the size of the table grows with the largest number:
    /// pass open descriptors only.
    ///
    /// # Errors
    ///
    /// [`Refused`], with `payload` and `source`: the table is unchanged, and both still belong to the caller
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
        if self.int_ids.is_exhausted() {
            return Err((Refused::IdsExhausted, payload, source));
        }
        let serial = self.next_serial();
        self.handles.insert(Handle {
            lifecycle: Lifecycle::new(serial, payload),
            fd,
            interest: interest & Events::ALL,
            refused: false,
            next: NONE,
        });
        match self.sources.get_mut(slot as usize) {
            Some(place) => *place = Some(source),
            None => self.sources.push(Some(source)),
        }
        self.int_ids.assign(serial.get(), slot);
        self.link(fd, slot);
        self.update_union(fd);
        if !(interest & Events::ALL).is_empty() {
            self.descriptors.renew(fd);
        }
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

    /// Changes the interest of a handle; an empty `interest` disables it (EV-401, EV-402).
    ///
    /// It applies to all calls that begin from now on, also in the running turn (EV-602…604). If the interest is not
    /// empty, the descriptor is registered again, as by [`add_handle`](Table::add_handle), and a pending refusal of the
    /// handle is dropped: the poller decides anew.
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
        let is_enabled = !entry.interest.is_empty();
        let was_refused = is_enabled && std::mem::take(&mut entry.refused);
        self.update_union(fd);
        if is_enabled {
            self.descriptors.renew(fd);
        }
        if was_refused {
            self.turn.forget_refusal(id.0.serial.get());
        }
        Ok(self.effects())
    }

    /// Removes a handle. From now on no call of it begins; its payload is handed out for its free call when no
    /// other call of the turn is left.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also if it was removed before: exactly one of several removals succeeds (EV-701).
    pub fn remove_handle(
        &mut self,
        id: HandleId,
    ) -> Result<(Removal, Effects<'_, S>), NotRegistered> {
        let entry = self.handle_mut(id)?;
        let is_taken = entry.lifecycle.is_taken();
        entry.lifecycle.remove();
        let (fd, refused) = (entry.fd, entry.refused);
        if refused {
            self.turn.forget_refusal(id.0.serial.get());
        }
        self.int_ids.release(id.0.serial.get());
        self.unlink(fd, id.0.slot);
        self.update_union(fd);
        let unwatched = self.descriptors.end_unwanted(fd).then_some(id.0.slot);
        self.frees.push_back(Freed::Handle(id.0.slot));
        let removal = self.removal(id.0, is_taken);
        Ok((removal, self.effects_of_removal(unwatched)))
    }

    /// Returns the source of the handle in `slot`, which may be removed and wait for its free call.
    ///
    /// # Panics
    ///
    /// If there is no handle in `slot`.
    pub(super) fn source(&self, slot: u32) -> &S {
        let source = self.sources.get(slot as usize);
        let source = source.and_then(Option::as_ref);
        source.expect("I7: a handle has its source until it is freed")
    }

    /// Takes the next change for the poller; from then on the table treats it as made. Before each sleep the loop
    /// calls this until there is none.
    pub fn next_change(&mut self) -> Option<Change<'_, S>> {
        self.flushed_serial = self.serials;
        let (fd, difference) = self.descriptors.next_difference()?;
        // The removal of the last handle deregisters the descriptor at once, so a descriptor with a later change
        // has handles.
        let source = self.source(self.descriptors.first_on(fd));
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

    /// Returns whether there are dirty descriptors, so that the poller may need a change.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.descriptors.has_differences()
    }

    /// Records that the poller refused the descriptor of the change just taken. Every enabled handle on it is
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

    /// Records that the poller has no registration of the descriptor of the [`Reregister`](Change::Reregister)
    /// just taken, because its number was closed and opened again as another file (EV-1002). The next change
    /// registers it under another token: under the old one the poller may continue to report the first file
    /// (EV-1003).
    pub fn registration_not_found(&mut self, fd: RawFd) {
        self.descriptors.registration_not_found(fd);
    }

    /// Records that the poller ended a registration by itself, because its descriptor is not open any more; the
    /// descriptor is treated like a [refused](Table::refused) one. The loop calls this before the turn begins.
    /// A token that is no longer registered is ignored.
    ///
    /// If a change of the descriptor waits for the poller, its number may have been opened again since the poller
    /// noticed. The change then registers it, and the poller decides anew.
    pub fn lost(&mut self, token: Token) {
        let fd = token.fd();
        if self.descriptors.first_of(token).is_some() && !self.descriptors.lost_while_dirty(fd) {
            self.refused(fd);
        }
    }

    /// Records that the loop recreated the poller, which has no registrations now. Every descriptor is to be
    /// registered again, under a new token. Events that were reported before stay valid.
    pub fn poller_was_recreated(&mut self) {
        self.descriptors.forget_registrations();
    }

    /// Returns the registered handle with this id.
    fn handle_mut(&mut self, id: HandleId) -> Result<&mut Handle<P>, NotRegistered> {
        let number = self.number;
        self.handles
            .get_mut(id.0.slot)
            .filter(|entry| entry.lifecycle.is_named_by(id.0.serial) && number == id.0.table)
            .ok_or(NotRegistered)
    }

    /// Appends the handle to the list of handles on its descriptor.
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

    /// Removes the handle from the list of handles on its descriptor.
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

    /// Recomputes the union of the interests of the handles on `fd`.
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
