//! One record per file descriptor: which handles watch it, what they want together, and what the poller
//! has been registered_interest.
//!
//! A poller takes one registration per descriptor, the event API any number of handles (EV-403); this is
//! where the two meet. Records are found by the descriptor's number, so a token leads to its handles
//! without hashing.

use super::slots::NONE;
use crate::events::Events;
use crate::id::Token;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;

#[derive(Clone)]
pub(super) struct Descriptor {
    /// The first handle on this descriptor; the others follow by [`next`](super::handles::Handle).
    pub(super) first: u32,
    /// What the poller has been registered_interest; nothing if the descriptor is not registered.
    registered_interest: Events,
    /// The serial of what it was registered_interest last.
    registration: u32,
    /// The union of the handles' interests.
    union: Events,
    /// Whether the record stands on the list of those to look at.
    pub(super) dirty: bool,
}

/// What the poller must be registered_interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Register { token: Token, interest: Events },
    Reregister { token: Token, interest: Events },
    Deregister,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Descriptors {
    by_fd: Vec<Descriptor>,
    /// The records to look at, in the order in which they were changed.
    dirty: VecDeque<RawFd>,
    registrations: u32,
}

/// The serial of a registration that is over is not shown.
impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registration = (!self.registered_interest.is_empty()).then_some(self.registration);
        f.debug_struct("Descriptor")
            .field("first", &self.first)
            .field("registered_interest", &self.registered_interest)
            .field("registration", &registration.unwrap_or_default())
            .field("union", &self.union)
            .field("dirty", &self.dirty)
            .finish()
    }
}

impl Default for Descriptor {
    fn default() -> Descriptor {
        Descriptor {
            first: NONE,
            registered_interest: Events::NONE,
            registration: 0,
            union: Events::NONE,
            dirty: false,
        }
    }
}

impl Descriptors {
    /// The record of `fd`, made if there is none.
    pub(super) fn entry(&mut self, fd: RawFd) -> &mut Descriptor {
        let index = index(fd);
        if index >= self.by_fd.len() {
            self.grow(index);
        }
        &mut self.by_fd[index]
    }

    /// Makes records up to the one at `index`.
    #[cold]
    fn grow(&mut self, index: usize) {
        self.by_fd.resize_with(index + 1, Descriptor::default);
    }

    /// The first handle on the descriptor that `token` was registered for, or `None` if that
    /// registration is over.
    pub(super) fn first_of(&self, token: Token) -> Option<u32> {
        let descriptor = self.by_fd.get(index(token.fd()))?;
        let is_current = descriptor.registration == token.registration();
        (is_current && !descriptor.registered_interest.is_empty()).then_some(descriptor.first)
    }

    /// Notes what the handles of `fd` want together.
    pub(super) fn set_union(&mut self, fd: RawFd, union: Events) {
        let descriptor = self.entry(fd);
        descriptor.union = union;
        if descriptor.registered_interest != union && !descriptor.dirty {
            descriptor.dirty = true;
            self.dirty.push_back(fd);
        }
    }

    /// The next difference between what the poller was registered_interest and what it must know, taken as registered_interest.
    pub(super) fn next_difference(&mut self) -> Option<(RawFd, Difference)> {
        while let Some(fd) = self.dirty.pop_front() {
            let descriptor = &mut self.by_fd[index(fd)];
            descriptor.dirty = false;
            let Descriptor {
                registered_interest,
                union,
                ..
            } = *descriptor;
            if registered_interest == union {
                continue;
            }
            descriptor.registered_interest = union;
            self.registrations = self.registrations.wrapping_add(1);
            descriptor.registration = self.registrations;
            let token = Token::new(fd, descriptor.registration);
            let interest = union;
            let difference = if registered_interest.is_empty() {
                Difference::Register { token, interest }
            } else if union.is_empty() {
                Difference::Deregister
            } else {
                Difference::Reregister { token, interest }
            };
            return Some((fd, difference));
        }
        None
    }

    /// Ends the registration of a descriptor that nobody wants anything of any more; returns whether
    /// there was one. This difference cannot wait: the descriptor may be closed next (EV-713).
    pub(super) fn end_unwanted(&mut self, fd: RawFd) -> bool {
        let descriptor = self.entry(fd);
        let ends = descriptor.union.is_empty() && !descriptor.registered_interest.is_empty();
        if ends {
            descriptor.registered_interest = Events::NONE;
        }
        ends
    }

    /// Notes that the poller refused the descriptor, so it knows nothing of it; returns the first handle
    /// on it.
    pub(super) fn refused(&mut self, fd: RawFd) -> u32 {
        let descriptor = self.entry(fd);
        descriptor.registered_interest = Events::NONE;
        descriptor.first
    }

    /// Notes that the poller does not know the descriptor under the token that it was registered_interest. It is to be registered_interest
    /// anew, under another one.
    pub(super) fn registration_not_found(&mut self, fd: RawFd) {
        let descriptor = self.entry(fd);
        descriptor.registered_interest = Events::NONE;
        if !descriptor.dirty {
            descriptor.dirty = true;
            self.dirty.push_back(fd);
        }
    }

    /// Notes that the poller knows nothing any more. What it is to know is registered_interest when the loop next sleeps.
    pub(super) fn forget_registrations(&mut self) {
        for (fd, descriptor) in (0..).zip(&mut self.by_fd) {
            let was_registered = !std::mem::take(&mut descriptor.registered_interest).is_empty();
            let is_wanted = was_registered && !descriptor.union.is_empty();
            if is_wanted && !descriptor.dirty {
                descriptor.dirty = true;
                self.dirty.push_back(fd);
            }
        }
    }

    /// Forgets everything: the poller is about to go.
    pub(super) fn clear(&mut self) {
        self.by_fd.clear();
        self.dirty.clear();
    }

    /// The records that have handles or are registered, with their descriptor, union and registration.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RawFd, &Descriptor, Events, Events)> {
        let records = (0..).zip(&self.by_fd);
        records.map(|(fd, descriptor)| {
            (
                fd,
                descriptor,
                descriptor.union,
                descriptor.registered_interest,
            )
        })
    }

    /// Whether some difference has not been taken yet.
    pub(super) fn has_differences(&self) -> bool {
        !self.dirty.is_empty()
    }
}

/// A descriptor's number as an index. Negative numbers lead past the end of any table: they are refused
/// when a handle is added, and a foreign token may carry one.
fn index(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or(usize::MAX)
}
