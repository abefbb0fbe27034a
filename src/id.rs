//! Names of registrations.

use std::fmt;
use std::num::NonZeroU64;
use std::os::fd::RawFd;

/// Where an entry lives and which one it is.
///
/// The slot is reused, the serial never is, so an id outlives its entry without ever naming another one
/// (EV-203, EV-204). The table's number makes an id of one loop unknown to another (EV-1103).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) serial: NonZeroU64,
    pub(crate) table: u32,
    pub(crate) slot: u32,
}

/// The number of the loop and the serial of the entry, which name it uniquely within the process.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.serial)
    }
}

/// Names one handle: one interest in one file descriptor.
///
/// It stays unique for ever: after the handle is removed, the id is answered with
/// [`NotRegistered`](crate::table::NotRegistered), also when its storage is used again (EV-205, EV-206).
///
/// It is displayed as `handle 0.7`: the seventh entry of the first loop of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub(crate) Key);

/// Names one timeout; unique for ever, like [`HandleId`], and of another kind (EV-202).
///
/// It is displayed as `timeout 0.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeoutId(pub(crate) Key);

/// A callback, named by the entry that it belongs to.
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

/// What a poller is told to report when a descriptor is ready: the descriptor's number and the serial of
/// its registration.
///
/// Each registration with the poller gets a token of its own, and another one with each change of it, so an
/// event that was fetched before the descriptor was closed, reused or registered anew is recognised as stale
/// (EV-605, EV-606), and so is one of another file that had the number before (EV-1003).
///
/// It is displayed as `registration 3 of descriptor 5`.
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

    /// The token as the 64 bits a kernel interface carries.
    #[must_use]
    pub const fn into_bits(self) -> u64 {
        self.0
    }

    /// The token that [`into_bits`](Token::into_bits) was called on. Any value may be given: one that no
    /// registration has is recognised as stale.
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
