//! The operating system's pollers as one type, so that the type of a loop says nothing of its backend.
//!
//! Which backend it is, is asked a few times per turn and once per walk over what is ready, not per event.

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

/// A way to wait for descriptors. What a loop promises does not depend on it, only what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// `epoll(7)`: a wait costs as much as there are ready descriptors (EV-1005).
    #[default]
    Epoll,
    /// `poll(2)`: a wait costs as much as there are enabled descriptors, and fails with `EINVAL` if these
    /// are more than `RLIMIT_NOFILE` (EV-906), but an addition or update costs less, and a descriptor
    /// that is closed while it is watched is noticed (EV-1001).
    Poll,
}

/// Waits with the [`Backend`] chosen.
#[derive(Debug)]
pub struct OsPoller {
    poller: Either<MioPoller, PollPoller>,
    registrar: OsRegistrar,
}

/// Registers, wakes and tells the time for an [`OsPoller`].
#[derive(Clone, Debug)]
pub struct OsRegistrar(Arc<Shared>);

/// The registrar's half of the backend, and what does not depend on the backend.
#[derive(Debug)]
struct Shared {
    backend: Either<MioRegistrar, PollRegistrar>,
    wake: WakeFd,
    clock: Clock,
}

/// Something of one of the two backends.
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
    /// Whatever the operating system reports, for example that there are no descriptors left.
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

    /// What `for_each` comes down to: asks once which backend it is.
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

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match &mut self.poller {
            Either::Epoll(poller) => poller.wait(timeout),
            Either::Poll(poller) => poller.wait(&self.registrar.0.wake, timeout),
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
            Either::Epoll(poller) => Some(poller.poll_fd()),
            Either::Poll(_) => None,
        }
    }

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
        match &mut self.poller {
            Either::Epoll(poller) => poller.recreate(&self.registrar.0.wake)?,
            Either::Poll(_) => return Ok(false),
        }
        Ok(true)
    }
}

impl Registrar for OsRegistrar {
    type Source = OsSource;

    fn register(&self, source: &OsSource, token: Token, interest: Events) -> io::Result<()> {
        match &self.0.backend {
            Either::Epoll(registrar) => registrar.register(source, token, interest),
            Either::Poll(registrar) => {
                registrar.register(source, token, interest);
                Ok(())
            }
        }
    }

    fn reregister(&self, source: &OsSource, token: Token, interest: Events) -> io::Result<()> {
        match &self.0.backend {
            Either::Epoll(registrar) => registrar.reregister(source, token, interest),
            Either::Poll(registrar) => {
                registrar.register(source, token, interest);
                Ok(())
            }
        }
    }

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

    // `Registrar::coarse_now`. By how much it is late is up to the machine, which may be late itself.
    #[test]
    fn the_coarse_clock_goes_on_and_is_never_ahead() {
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

    // EV-1003: epoll reports a file until its last duplicate is closed; poll(2) forgets the number.
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

    // EV-905 and `Poller::rebuild`: a wake that was sent before is not lost with what is forgotten.
    #[test]
    fn recreate_keeps_a_pending_wake() {
        let mut poller = OsPoller::new(Backend::Epoll).unwrap();
        poller.registrar().wake().unwrap();
        assert!(poller.recreate().unwrap());
        poller.wait(None).unwrap();
        assert_eq!(poller.ready().count(), 0);
    }
}
