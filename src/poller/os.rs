//! The pollers of the operating system as one type, so that the type of a loop does not depend on its backend.
//!
//! A turn branches on the backend a few times, and once for all its events.

use super::clock::Clock;
use super::mio::{MioPoller, MioRegistrar};
use super::poll::{PollPoller, PollRegistrar};
use super::source::OsSource;
use super::wake_fd::WakeFd;
use super::{Poller, Registrar};
use crate::events::Events;
use crate::id::Token;
use crate::time::MonotonicTime;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// The system call that waits for descriptors. It changes the cost of a loop, not its guarantees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// `epoll(7)`: the cost of a wait is proportional to the number of ready descriptors. Only the kernel
    /// limits the number of descriptors (EV-1005).
    #[default]
    Epoll,
    /// `poll(2)`: the cost of a wait is proportional to the number of enabled descriptors, and a wait with
    /// more than `RLIMIT_NOFILE` of them fails with `EINVAL` (EV-906). Additions and updates cost less than
    /// with epoll, and a descriptor that is closed while it is watched is detected (EV-1001).
    Poll,
}

/// A poller with one of the [`Backend`]s.
#[derive(Debug)]
pub struct OsPoller {
    poller: Either<MioPoller, PollPoller>,
    registrar: OsRegistrar,
}

/// The registrar of an [`OsPoller`].
#[derive(Clone, Debug)]
pub struct OsRegistrar(Arc<Shared>);

/// The registrar of the backend, and the parts that do not depend on the backend.
#[derive(Debug)]
struct Shared {
    backend: Either<MioRegistrar, PollRegistrar>,
    wake: WakeFd,
    clock: Clock,
}

/// A value of one of the two backends.
#[derive(Debug)]
enum Either<E, P> {
    Epoll(E),
    Poll(P),
}

impl OsPoller {
    /// Creates a poller with `backend`.
    ///
    /// # Errors
    ///
    /// Errors of the operating system, for example that the limit of descriptors is reached.
    pub fn new(backend: Backend) -> io::Result<OsPoller> {
        let wake = WakeFd::new()?;
        let (poller, backend) = match backend {
            Backend::Epoll => {
                let poller = MioPoller::new(&wake)?;
                let registrar = poller.registrar().clone();
                (Either::Epoll(poller), Either::Epoll(registrar))
            }
            Backend::Poll => {
                let poller = PollPoller::new();
                let registrar = poller.registrar().clone();
                (Either::Poll(poller), Either::Poll(registrar))
            }
        };
        let registrar = OsRegistrar(Arc::new(Shared {
            backend,
            wake,
            clock: Clock::new(),
        }));
        Ok(OsPoller { poller, registrar })
    }
}

impl<T, E: Iterator<Item = T>, P: Iterator<Item = T>> Iterator for Either<E, P> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Either::Epoll(found) => found.next(),
            Either::Poll(found) => found.next(),
        }
    }

    /// Branches on the backend once for all items; `for_each` uses it.
    fn fold<A, F: FnMut(A, T) -> A>(self, init: A, step: F) -> A {
        match self {
            Either::Epoll(found) => found.fold(init, step),
            Either::Poll(found) => found.fold(init, step),
        }
    }
}

impl Poller for OsPoller {
    type Source = OsSource;
    type Registrar = OsRegistrar;

    fn registrar(&self) -> &OsRegistrar {
        &self.registrar
    }

    #[inline]
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let shared = &*self.registrar.0;
        match &mut self.poller {
            Either::Epoll(poller) => poller.wait(&shared.wake, &shared.clock, timeout),
            Either::Poll(poller) => poller.wait(&shared.wake, timeout),
        }
    }

    fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        match &self.poller {
            Either::Epoll(poller) => Either::Epoll(poller.ready()),
            Either::Poll(poller) => Either::Poll(poller.ready()),
        }
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.poller {
            Either::Epoll(poller) => Some(poller.poll_fd(&self.registrar.0.wake)),
            Either::Poll(_) => None,
        }
    }

    fn longest_wait(&self) -> Option<Duration> {
        match &self.poller {
            Either::Epoll(poller) => poller.longest_wait(&self.registrar.0.clock),
            Either::Poll(_) => None,
        }
    }

    #[inline]
    fn is_always_ready(&self) -> bool {
        match &self.poller {
            Either::Epoll(poller) => poller.is_always_ready(),
            Either::Poll(_) => false,
        }
    }

    fn lost(&self) -> impl Iterator<Item = Token> {
        match &self.poller {
            Either::Epoll(_) => Either::Epoll(std::iter::empty()),
            Either::Poll(poller) => Either::Poll(poller.lost()),
        }
    }

    fn recreate(&mut self) -> io::Result<bool> {
        let shared = &*self.registrar.0;
        match &mut self.poller {
            Either::Epoll(poller) => poller.recreate(&shared.wake, &shared.clock)?,
            Either::Poll(_) => return Ok(false),
        }
        Ok(true)
    }
}

impl Registrar for OsRegistrar {
    type Source = OsSource;

    #[inline]
    fn register(&self, source: &OsSource, token: Token, interest: Events) -> io::Result<()> {
        match &self.0.backend {
            Either::Epoll(registrar) => registrar.register(source, token, interest),
            Either::Poll(registrar) => {
                registrar.register(source, token, interest);
                Ok(())
            }
        }
    }

    #[inline]
    fn reregister(&self, source: &OsSource, token: Token, interest: Events) -> io::Result<()> {
        match &self.0.backend {
            Either::Epoll(registrar) => registrar.reregister(source, token, interest),
            Either::Poll(registrar) => {
                registrar.register(source, token, interest);
                Ok(())
            }
        }
    }

    #[inline]
    fn deregister(&self, source: &OsSource) {
        match &self.0.backend {
            Either::Epoll(registrar) => registrar.deregister(source),
            Either::Poll(registrar) => registrar.deregister(source),
        }
    }

    fn wake(&self) -> io::Result<()> {
        self.0.wake.wake()
    }

    fn now(&self) -> MonotonicTime {
        self.0.clock.now()
    }

    fn coarse_now(&self) -> MonotonicTime {
        self.0.clock.coarse_now()
    }

    fn coarse_tick(&self) -> Duration {
        self.0.clock.coarse_tick()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poller::Source;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    const NO_WAIT: Option<Duration> = Some(Duration::ZERO);

    // `Registrar::coarse_now`. The test has no bound for the delay, because the machine may be overloaded.
    #[test]
    fn coarse_now_advances_and_is_never_ahead() {
        for backend in [Backend::Epoll, Backend::Poll] {
            let poller = OsPoller::new(backend).unwrap();
            let registrar = poller.registrar();
            assert!(!registrar.coarse_tick().is_zero(), "{backend:?}");
            let long = MonotonicTime::ZERO.saturating_add(Duration::from_secs(60));
            while registrar.coarse_now() == MonotonicTime::ZERO {
                assert!(registrar.now() < long, "{backend:?}");
            }
            let coarse = registrar.coarse_now();
            assert!(coarse <= registrar.now(), "{backend:?}");
        }
    }

    // EV-1003: epoll reports a file until its last duplicate is closed; `poll(2)` has no stale registrations.
    #[test]
    fn recreated_epoll_poller_has_no_registrations() {
        for (backend, reports_stale) in [(Backend::Epoll, true), (Backend::Poll, false)] {
            let mut poller = OsPoller::new(backend).unwrap();
            let (near, _far) = UnixStream::pair().unwrap();
            let _duplicate = near.try_clone().unwrap();
            let source = OsSource::new(OwnedFd::from(near));
            let token = Token::new(source.fd(), 1);
            let registrar = poller.registrar().clone();
            registrar
                .register(&source, token, Events::WRITABLE)
                .unwrap();
            poller.wait(NO_WAIT).unwrap();
            assert_eq!(poller.ready().count(), 1, "{backend:?}");

            assert_eq!(poller.recreate().unwrap(), reports_stale, "{backend:?}");
            poller.wait(NO_WAIT).unwrap();
            let left = usize::from(!reports_stale);
            assert_eq!(poller.ready().count(), left, "{backend:?}");
        }
    }

    // EV-905, `Poller::recreate`.
    #[test]
    fn recreate_keeps_a_pending_wake() {
        let mut poller = OsPoller::new(Backend::Epoll).unwrap();
        poller.registrar().wake().unwrap();
        assert!(poller.recreate().unwrap());
        poller.wait(None).unwrap();
        assert_eq!(poller.ready().count(), 0);
    }
}
