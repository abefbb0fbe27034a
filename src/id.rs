//! Names of registrations.

use std::num::NonZeroU64;
use std::os::fd::RawFd;

/// Where an entry lives and which one it is.
///
/// The slot is reused, the serial never is, so an id outlives its entry without ever naming another one
/// (EV-203, EV-204). The core's number makes an id of one loop unknown to another (EV-1103).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) serial: NonZeroU64,
    pub(crate) core: u32,
    pub(crate) slot: u32,
}

/// Names one handle: one interest in one file descriptor.
///
/// It stays unique for ever: after the handle is removed, the id is answered with
/// [`NotRegistered`](crate::core::NotRegistered), also when its storage is used again (EV-205, EV-206).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub(crate) Key);

/// Names one timeout; unique for ever, like [`HandleId`], and of another kind (EV-202).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeoutId(pub(crate) Key);

/// What a poller is told to report when a descriptor is ready: the descriptor's number and the serial of
/// its registration.
///
/// Each registration with the poller gets a token of its own, and another one with each change of it, so an
/// event that was fetched before the descriptor was closed, reused or registered anew is recognised as stale
/// (EV-605, EV-606), and so is one of another file that had the number before (EV-1003).
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
