//! The outside world: which descriptors are ready, what time it is, and how to wake whoever waits.
//!
//! A backend is a [`Poller`], which waits, and a [`Registrar`], which everybody else uses meanwhile. What
//! a backend must promise:
//!
//! - **Level-triggered.** A descriptor that is ready is reported by every wait until it is not (EV-308).
//! - **One registration per descriptor.** Registrations are made and changed between two waits, on the
//!   thread that waits; they are ended by any thread, also during a wait, with the registry's lock held.
//!   A number that is registered again while it is known, because it was closed and opened in between,
//!   counts for its new registration (EV-1002).
//! - **At once.** After `deregister` returns, the backend does not know the descriptor, and the caller
//!   may close it (EV-713). The wait that runs meanwhile need not return for that; the registry wakes it,
//!   so it may hold on to the open file until then, as `poll(2)` does.
//! - **Exact.** Reported is what `poll(2)` would say: a half-close is not a hang-up, errors and hang-ups
//!   come whatever the interest, descriptors that cannot be polled are always readable and writable
//!   (EV-302…305, EV-1004). In which order is up to the backend.
//! - **Closed is over.** A descriptor that is closed while it is registered, or was not open to begin
//!   with, does not make waits return. If the backend can tell, it refuses the registration or ends it and
//!   names it among the [`lost`](Poller::lost); the handles then hear of it once (EV-1001).
//! - **Tokens are opaque.** An event of a registration that has ended since may be reported; its token
//!   says so to the table. If it is reported again and again, the backend is [rebuilt](Poller::rebuild).
//!   A change of a registration comes with another token, the one to report from then on.
//! - **Sources are the user's.** A registrar is called under a lock and drops no source that may be the
//!   last share of it; a poller may, in a wait or when it is dropped.
//! - **Wakes are latched.** A wake that comes before the wait ends the next wait; several may count as
//!   one; a wait may return with nothing to report (EV-513, EV-902, EV-903).
//! - **Never early.** A wait with a timeout ends early only for an event or a wake, and the clock does
//!   not run backwards (EV-806, EV-807).
//!
//! [`OsPoller`] is the backend of real programs. It is one of two, chosen when it is made by [`Backend`]: on
//! `epoll(7)`, by way of mio, or on `poll(2)`. [`model::ModelPoller`] is one without a kernel: its time
//! and readiness are set by hand, and it runs under the loom model checker.

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

/// Waits for readiness: the half of a backend that the loop owns.
pub trait Poller: Send + Sized + 'static {
    /// What names a descriptor to this backend, and keeps it open while it is registered.
    type Source: Source;
    /// The other half.
    type Registrar: Registrar<Source = Self::Source>;

    /// The half that other threads use while this one waits.
    fn registrar(&self) -> &Self::Registrar;

    /// Waits until a registered descriptor is ready, somebody wakes it, or `timeout` has passed; none
    /// waits for ever. What is ready is then told by [`ready`](Poller::ready).
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports, except an interruption by a signal, which is a wait that
    /// found nothing (EV-905).
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// A descriptor that is readable when a wait would find something, for those who wait for several
    /// pollers at once. None if the backend has none.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether something is ready that [`poll_fd`](Poller::poll_fd) does not show: a wait must not sleep.
    fn is_always_ready(&self) -> bool {
        false
    }

    /// What the last wait found. Each registration is named at most once.
    fn ready(&self) -> impl Iterator<Item = (Token, Events)>;

    /// The registrations that the last wait ended because their descriptor is not open any more: closed
    /// by a caller who should have removed it first (EV-1001). None of them is among the ready ones.
    ///
    /// A backend that cannot tell has none.
    fn lost(&self) -> impl Iterator<Item = Token> {
        std::iter::empty()
    }

    /// Forgets every registration, those included that nobody can end by their descriptor any more
    /// (EV-1003), and says whether it did; wakes are kept. Called on the thread that waits, with the
    /// registry's lock held.
    ///
    /// A backend that knows no phantoms keeps what it has, and says false.
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports; then nothing was forgotten.
    fn recreate(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Registers, wakes and tells the time: the half of a backend that is shared.
pub trait Registrar: Clone + Send + Sync + Debug + 'static {
    /// What names a descriptor to this backend.
    type Source: Source;

    /// Begins to report the descriptor under `token` when it is ready for `interest`.
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports, for example that the descriptor is not open. A backend that
    /// does not ask it here has the next wait [lose](Poller::lost) the registration instead.
    fn register(&self, source: &Self::Source, token: Token, interest: Events) -> io::Result<()>;

    /// Changes the interest of a registration, and what it is reported under.
    ///
    /// # Errors
    ///
    /// As [`register`](Registrar::register). [`NotFound`](io::ErrorKind::NotFound) if it does not know the
    /// descriptor, because that was closed and opened again: then it is registered anew.
    fn reregister(&self, source: &Self::Source, token: Token, interest: Events) -> io::Result<()>;

    /// Ends a registration. It cannot fail in a way that matters: a descriptor that was closed too early
    /// is unknown to the backend already.
    fn deregister(&self, source: &Self::Source);

    /// Makes the wait that runs, or else the next one, return soon. Signal handlers may call it: it takes
    /// no lock and allocates nothing.
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports.
    fn wake(&self) -> io::Result<()>;

    /// The monotonic clock.
    fn now(&self) -> MonotonicTime;

    /// A cheaper look at the same clock: not later than [`now`](Registrar::now), and not earlier by more
    /// than [`coarse_tick`](Registrar::coarse_tick).
    fn coarse_now(&self) -> MonotonicTime {
        self.now()
    }

    /// How much earlier the coarse clock may be, as long as the machine itself keeps up with its clock.
    fn coarse_tick(&self) -> Duration {
        Duration::ZERO
    }
}

/// Names a file descriptor.
pub trait Source: Send + 'static {
    /// The descriptor's number.
    fn fd(&self) -> RawFd;
}
