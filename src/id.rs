//! Ids of handles and timeouts, and tokens of poller registrations.

use std::fmt;
use std::num::NonZeroU64;
use std::os::fd::RawFd;

/// The slot and the serial of an entry, and the number of its table.
///
/// Slots are reused and serials are not, so the id of a removed entry never refers to another one (EV-203,
/// EV-204). The number of the table makes an id of one loop unknown to another (EV-1103).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) serial: NonZeroU64,
    pub(crate) table: u32,
    pub(crate) slot: u32,
}

/// Writes the number of the table and the serial, which are unique within the process.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.serial)
    }
}

/// The id of a handle, which is one interest in one file descriptor.
///
/// An id is never reused. After the handle is removed, operations with the id return
/// [`NotRegistered`](crate::table::NotRegistered), also when the slot is used again (EV-205, EV-206).
///
/// The displayed form is `handle 0.7`: the seventh entry of the first loop of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub(crate) Key);

/// The id of a timeout. It is never reused, and its type differs from [`HandleId`] (EV-202).
///
/// The displayed form is `timeout 0.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeoutId(pub(crate) Key);

/// The id of a callback: the id of its entry, or the drop of removed callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackId {
    /// The callback of a handle.
    Handle(HandleId),
    /// The callback of a timeout.
    Timeout(TimeoutId),
    /// The drop of callbacks that were removed.
    Free,
}

impl fmt::Display for HandleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle {}", self.0)
    }
}

impl fmt::Display for TimeoutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeout {}", self.0)
    }
}

impl From<HandleId> for CallbackId {
    fn from(id: HandleId) -> CallbackId {
        CallbackId::Handle(id)
    }
}

impl From<TimeoutId> for CallbackId {
    fn from(id: TimeoutId) -> CallbackId {
        CallbackId::Timeout(id)
    }
}

impl fmt::Display for CallbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallbackId::Handle(id) => write!(f, "the callback of {id}"),
            CallbackId::Timeout(id) => write!(f, "the callback of {id}"),
            CallbackId::Free => f.write_str("the drop of removed callbacks"),
        }
    }
}

/// The identification of a registration in the events of a poller: a descriptor and the serial of its
/// registration.
///
/// Each registration and each change of one gets a new token. An event that was read before the descriptor
/// was closed, reused or registered again therefore has a stale token (EV-605, EV-606), and so has an event
/// of another file that had the same descriptor before (EV-1003).
///
/// The displayed form is `registration 3 of descriptor 5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    pub(crate) fn new(fd: RawFd, registration: u32) -> Token {
        Token(u64::from(registration) << 32 | u64::from(fd as u32))
    }

    pub(crate) const fn fd(self) -> RawFd {
        self.0 as u32 as RawFd
    }

    pub(crate) const fn registration(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the token as the 64 bits of user data of a kernel interface.
    #[must_use]
    pub const fn into_bits(self) -> u64 {
        self.0
    }

    /// Creates a token from the result of [`into_bits`](Token::into_bits). Any other value gives a stale
    /// token.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Token {
        Token(bits)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (registration, fd) = (self.registration(), self.fd());
        write!(f, "registration {registration} of descriptor {fd}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_displayed_by_loop_and_serial() {
        let key = Key {
            serial: NonZeroU64::new(7).unwrap(),
            table: 2,
            slot: 5,
        };
        let (handle, timeout) = (HandleId(key), TimeoutId(key));
        assert_eq!(handle.to_string(), "handle 2.7");
        assert_eq!(timeout.to_string(), "timeout 2.7");
        for (callback, text) in [
            (handle.into(), "the callback of handle 2.7"),
            (timeout.into(), "the callback of timeout 2.7"),
            (CallbackId::Free, "the drop of removed callbacks"),
        ] {
            assert_eq!(callback.to_string(), text);
        }
        let token = Token::new(5, 3);
        assert_eq!(token.to_string(), "registration 3 of descriptor 5");
    }
}
