//! Readiness of descriptors, the monotonic clock and wakes.
//!
//! A backend consists of a [`Poller`], which waits, and a [`Registrar`], which other threads use during the
//! wait. A backend has these properties:
//!
//! - **Level-triggered.** Every wait reports a descriptor as long as it is ready (EV-308).
//! - **One registration per descriptor.** The thread that waits adds and changes registrations between two
//!   waits. Any thread may end a registration, also during a wait, with the registry's lock held. A second
//!   registration of a descriptor, which was closed and opened in between, replaces the first (EV-1002).
//! - **Immediate deregistration.** After `deregister` returns, the backend has no registration of the
//!   descriptor, and the caller may close it (EV-713). A wait need not return for that. The registry wakes
//!   it, and until then the wait may keep the file open, as `poll(2)` does.
//! - **Exact events.** The events are those of `poll(2)`: a half-close is not a hang-up, errors and hang-ups
//!   do not depend on the interest, and descriptors that cannot be polled are always readable and writable
//!   (EV-302…305, EV-1004). The order of the events is unspecified.
//! - **Closed descriptors.** A descriptor that is not open, or is closed while it is registered, does not end
//!   waits. A backend that detects it refuses the registration, or ends it and reports it as
//!   [`lost`](Poller::lost); each handle then receives one error (EV-1001).
//! - **Opaque tokens.** A backend may report an event of a registration that has ended; the table recognizes
//!   its stale token. If the event is reported repeatedly, the backend is [recreated](Poller::recreate). A
//!   change of a registration has a new token, which later events carry.
//! - **No drop of sources under a lock.** A registrar is called with a lock held, so it never drops the last
//!   reference to a source. A poller may drop it in a wait or in its own drop.
//! - **Latched wakes.** A wake before a wait ends that wait. Several wakes may count as one. A wait may return
//!   without an event (EV-513, EV-902, EV-903).
//! - **Never early.** Only an event or a wake ends a wait before its timeout, and the clock does not run
//!   backwards (EV-806, EV-807).
//!
//! [`OsPoller`] is the backend of real programs, with a choice of two [`Backend`]s: `epoll(7)` or `poll(2)`.
//! [`model::ModelPoller`] needs no kernel: tests set its time and readiness, and it runs under
//! the loom model checker.

#[cfg(not(loom))]
mod always_ready;
#[cfg(not(loom))]
mod clock;
#[cfg(not(loom))]
mod mio;
pub mod model;
#[cfg(not(loom))]
mod os;
#[cfg(not(loom))]
mod pause;
#[cfg(not(loom))]
mod poll;
#[cfg(not(loom))]
mod source;
#[cfg(not(loom))]
mod wake_fd;

#[cfg(not(loom))]
pub use self::os::{Backend, OsPoller, OsRegistrar};
#[cfg(not(loom))]
pub use self::source::OsSource;

/// The poller of loops that do not choose another.
#[cfg(not(loom))]
pub type DefaultPoller = OsPoller;
/// The poller of loops that do not choose another.
#[cfg(loom)]
pub type DefaultPoller = model::ModelPoller;

use crate::events::Events;
use crate::id::Token;
use crate::time::MonotonicTime;
use std::fmt::Debug;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// The part of a backend that waits, owned by the loop.
pub trait Poller: Send + Sized + 'static {
    /// The reference to a descriptor, which keeps it open while it is registered.
    type Source: Source;
    /// The part of the backend that other threads use.
    type Registrar: Registrar<Source = Self::Source>;

    /// Returns the registrar of this poller.
    fn registrar(&self) -> &Self::Registrar;

    /// Waits until a registered descriptor is ready, a thread wakes the poller, or `timeout` has passed. `None`
    /// is no timeout. Afterwards [`ready`](Poller::ready) returns the events.
    ///
    /// # Errors
    ///
    /// Errors of the operating system, except an interruption by a signal, which is a wait without events
    /// (EV-905).
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Returns a descriptor that is readable when a wait would return at once, for programs that wait for
    /// several pollers; `None` if the backend has no such descriptor.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns the longest time that a program may wait for [`poll_fd`](Poller::poll_fd) before it runs a turn; `None` if
    /// there is no limit.
    fn longest_wait(&self) -> Option<Duration> {
        None
    }

    /// Returns `true` if a registered descriptor is always ready, which [`poll_fd`](Poller::poll_fd) does not
    /// show: a wait must not sleep.
    fn is_always_ready(&self) -> bool {
        false
    }

    /// Returns the events of the last wait, at most one per registration.
    fn ready(&self) -> impl Iterator<Item = (Token, Events)>;

    /// Returns the registrations that the last wait ended because their descriptor is not open: the caller
    /// closed it before its removal (EV-1001). None of them is among the ready ones.
    ///
    /// A backend that cannot detect this returns none.
    fn lost(&self) -> impl Iterator<Item = Token> {
        std::iter::empty()
    }

    /// Drops all registrations, including stale ones, which cannot be ended through their descriptor
    /// (EV-1003). Pending wakes are kept. The thread that waits calls it, with the registry's lock held.
    ///
    /// A backend that cannot have stale registrations keeps its registrations and returns `false`.
    ///
    /// # Errors
    ///
    /// Errors of the operating system; all registrations are kept then. So that the loop does not spin, the following
    /// waits may report ready descriptors some milliseconds late.
    fn recreate(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// The shared part of a backend: registrations, wakes and the clock.
pub trait Registrar: Clone + Send + Sync + Debug + 'static {
    /// The reference to a descriptor.
    type Source: Source;

    /// Registers a descriptor: waits report it with `token` when it is ready for `interest`.
    ///
    /// # Errors
    ///
    /// Errors of the operating system, for example that the descriptor is not open. A backend that makes no
    /// system call here reports the registration as [lost](Poller::lost) after the next wait instead.
    fn register(&self, source: &Self::Source, token: Token, interest: Events) -> io::Result<()>;

    /// Changes the interest and the token of a registration.
    ///
    /// # Errors
    ///
    /// The errors of [`register`](Registrar::register), and [`NotFound`](io::ErrorKind::NotFound) if the
    /// descriptor is not registered, because it was closed and opened again. The loop then registers it.
    fn reregister(&self, source: &Self::Source, token: Token, interest: Events) -> io::Result<()>;

    /// Ends a registration. Failures need no report: a descriptor that was closed before its removal has no
    /// registration.
    fn deregister(&self, source: &Self::Source);

    /// Ends the current wait, or else the next one. Signal handlers may call it: it takes no lock and
    /// allocates no memory.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    fn wake(&self) -> io::Result<()>;

    /// Returns the time of the monotonic clock.
    fn now(&self) -> MonotonicTime;

    /// Returns the time of the same clock at its last tick, at a lower cost: never later than
    /// [`now`](Registrar::now), and earlier by at most [`coarse_tick`](Registrar::coarse_tick).
    fn coarse_now(&self) -> MonotonicTime {
        self.now()
    }

    /// Returns the maximum difference of the two clocks. An overloaded machine may exceed it.
    fn coarse_tick(&self) -> Duration {
        Duration::ZERO
    }
}

/// A reference to a file descriptor.
pub trait Source: Send + 'static {
    /// Returns the number of the descriptor.
    fn fd(&self) -> RawFd;
}
