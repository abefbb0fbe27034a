//! One record per file descriptor: the handles that watch it, the union of their interests, and the interest
//! registered with the poller.
//!
//! A poller takes one registration per descriptor, the event API any number of handles (EV-403). A record maps
//! one to the other. Records are indexed by the number of the descriptor, so the handles of a token are found
//! without hashing.

use super::slots::NONE;
use crate::events::Events;
use crate::id::Token;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;

#[derive(Clone)]
pub(super) struct Descriptor {
    /// The slot of the first handle on this descriptor; the others follow by [`next`](super::handles::Handle).
    pub(super) first: u32,
    /// The serial of the latest registration.
    registration: u32,
    /// The interest registered with the poller; empty if the descriptor is not registered.
    registered_interest: Packed,
    /// The union of the interests of the handles.
    union: Packed,
    /// True if the descriptor is in the list of dirty descriptors.
    pub(super) dirty: bool,
}

/// Events in one byte, as there is a record for each descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Packed(u8);

impl Packed {
    const NONE: Packed = Packed(0);

    fn is_empty(self) -> bool {
        self == Packed::NONE
    }
}

impl From<Events> for Packed {
    #[inline]
    fn from(events: Events) -> Packed {
        Packed((events & Events::ALL).bits() as u8)
    }
}

impl From<Packed> for Events {
    #[inline]
    fn from(Packed(bits): Packed) -> Events {
        Events::from_bits_retain(bits.into())
    }
}

/// The difference between the registration and the union of the interests of the handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Register {
        token: Token,
        interest: Events,
    },
    /// The interest may be the registered one.
    Reregister {
        token: Token,
        interest: Events,
    },
    Deregister,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Descriptors {
    by_fd: Vec<Descriptor>,
    /// The dirty descriptors, whose registration may need a change, in the order in which they became dirty.
    dirty: VecDeque<RawFd>,
    registrations: u32,
}

/// Leaves out the serial of a registration that has ended.
impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registration = (!self.registered_interest.is_empty()).then_some(self.registration);
        f.debug_struct("Descriptor")
            .field("first", &self.first)
            .field(
                "registered_interest",
                &Events::from(self.registered_interest),
            )
            .field("registration", &registration.unwrap_or_default())
            .field("union", &Events::from(self.union))
            .field("dirty", &self.dirty)
            .finish()
    }
}

impl Default for Descriptor {
    fn default() -> Descriptor {
        Descriptor {
            first: NONE,
            registration: 0,
            registered_interest: Packed::NONE,
            union: Packed::NONE,
            dirty: false,
        }
    }
}

impl Descriptors {
    /// Returns the record of `fd`, and creates it if there is none.
    pub(super) fn entry(&mut self, fd: RawFd) -> &mut Descriptor {
        let index = index(fd);
        if index >= self.by_fd.len() {
            self.grow(index);
        }
        &mut self.by_fd[index]
    }

    /// Creates the records up to the one at `index`.
    #[cold]
    fn grow(&mut self, index: usize) {
        self.by_fd.resize_with(index + 1, Descriptor::default);
    }

    /// Returns the slot of the first handle on the descriptor that was registered with `token`, or `None` if that
    /// registration has ended.
    pub(super) fn first_of(&self, token: Token) -> Option<u32> {
        let descriptor = self.by_fd.get(index(token.fd()))?;
        let is_current = descriptor.registration == token.registration();
        (is_current && !descriptor.registered_interest.is_empty()).then_some(descriptor.first)
    }

    /// Returns the slot of the first handle on a descriptor that was reported.
    #[inline]
    pub(super) fn first_on(&self, fd: RawFd) -> u32 {
        self.by_fd
            .get(index(fd))
            .map_or(NONE, |descriptor| descriptor.first)
    }

    /// Sets the union of the interests of the handles on `fd`.
    pub(super) fn set_union(&mut self, fd: RawFd, union: Events) {
        let union = Packed::from(union);
        let descriptor = self.entry(fd);
        descriptor.union = union;
        if descriptor.registered_interest != union && !descriptor.dirty {
            descriptor.dirty = true;
            self.dirty.push_back(fd);
        }
    }

    /// Marks the registration of `fd` as to be made again, even if the union is the registered interest: the number may
    /// have been closed and opened again as another file, which the poller does not know (EV-1002).
    pub(super) fn renew(&mut self, fd: RawFd) {
        let descriptor = self.entry(fd);
        if !descriptor.dirty {
            descriptor.dirty = true;
            self.dirty.push_back(fd);
        }
    }

    /// Takes the next difference, and treats the union as the registered interest from then on.
    ///
    /// The union of a dirty descriptor equals the registered interest if changes have cancelled each other out. If it
    /// is not empty, one of them has added or enabled a handle, and the registration is made again.
    pub(super) fn next_difference(&mut self) -> Option<(RawFd, Difference)> {
        while let Some(fd) = self.dirty.pop_front() {
            let descriptor = &mut self.by_fd[index(fd)];
            descriptor.dirty = false;
            let Descriptor {
                registered_interest,
                union,
                ..
            } = *descriptor;
            if registered_interest.is_empty() && union.is_empty() {
                continue;
            }
            descriptor.registered_interest = union;
            self.registrations = self.registrations.wrapping_add(1);
            descriptor.registration = self.registrations;
            let token = Token::new(fd, descriptor.registration);
            let interest = Events::from(union);
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

    /// Ends the registration of a descriptor in which no handle has an interest any more; returns whether there was
    /// one. This difference cannot wait: the descriptor may be closed next (EV-713).
    pub(super) fn end_unwanted(&mut self, fd: RawFd) -> bool {
        let descriptor = self.entry(fd);
        let ends = descriptor.union.is_empty() && !descriptor.registered_interest.is_empty();
        if ends {
            descriptor.registered_interest = Packed::NONE;
        }
        ends
    }

    /// Records that the poller refused the descriptor, which is not registered now; returns the slot of the first
    /// handle on it.
    pub(super) fn refused(&mut self, fd: RawFd) -> u32 {
        let descriptor = self.entry(fd);
        descriptor.registered_interest = Packed::NONE;
        descriptor.first
    }

    /// Records that the poller has no registration of the descriptor. The descriptor is to be registered again,
    /// under another token.
    pub(super) fn registration_not_found(&mut self, fd: RawFd) {
        let descriptor = self.entry(fd);
        descriptor.registered_interest = Packed::NONE;
        if !descriptor.dirty {
            descriptor.dirty = true;
            // The next difference, so that differences keep their order.
            self.dirty.push_front(fd);
        }
    }

    /// Ends the registration of a dirty descriptor, which the poller has lost, so that the pending difference registers
    /// the descriptor again. Returns `false` if the descriptor is not dirty.
    pub(super) fn lost_while_dirty(&mut self, fd: RawFd) -> bool {
        let descriptor = self.entry(fd);
        if descriptor.dirty {
            descriptor.registered_interest = Packed::NONE;
        }
        descriptor.dirty
    }

    /// Records that the poller has no registrations any more. All descriptors with an interest are registered again
    /// before the loop next sleeps.
    pub(super) fn forget_registrations(&mut self) {
        for (fd, descriptor) in (0..).zip(&mut self.by_fd) {
            let was_registered =
                !std::mem::replace(&mut descriptor.registered_interest, Packed::NONE).is_empty();
            let is_wanted = was_registered && !descriptor.union.is_empty();
            if is_wanted && !descriptor.dirty {
                descriptor.dirty = true;
                self.dirty.push_back(fd);
            }
        }
    }

    /// Removes all records, because the poller is being dropped.
    pub(super) fn clear(&mut self) {
        self.by_fd.clear();
        self.dirty.clear();
    }

    /// Returns all records, with their descriptor, union and registered interest.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RawFd, &Descriptor, Events, Events)> {
        let records = (0..).zip(&self.by_fd);
        records.map(|(fd, descriptor)| {
            (
                fd,
                descriptor,
                descriptor.union.into(),
                descriptor.registered_interest.into(),
            )
        })
    }

    /// Returns whether there are dirty descriptors.
    pub(super) fn has_differences(&self) -> bool {
        !self.dirty.is_empty()
    }
}

/// Converts the number of a descriptor to an index. A negative number gives an index past the end of any vector:
/// handles with one are refused, but a token that the table did not issue may contain one.
fn index(fd: RawFd) -> usize {
    fd as u32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_takes_twelve_bytes() {
        assert_eq!(size_of::<Descriptor>(), 12);
    }

    #[test]
    fn packed_events_are_the_same_events() {
        for bits in 0..=Events::ALL.bits() {
            let events = Events::from_bits_retain(bits);
            assert_eq!(Events::from(Packed::from(events)), events);
        }
    }
}
