//! The default backend, on `epoll(7)`: mio's poll with level-triggered registrations on mio's epoll
//! descriptor.
//!
//! mio itself registers descriptors edge-triggered and with `EPOLLRDHUP`, which it reports as a hang-up. The
//! event API requires level-triggered readiness and exact hang-ups, so this module calls `epoll_ctl` without
//! `EPOLLET` and `EPOLLRDHUP`. A half-close is then never reported, and mio's accessors return the events of
//! `poll(2)`.
//!
//! epoll does not report that a registered descriptor was closed. It reports events of the file until the last
//! duplicate is closed, and then drops the registration. The next change of the registration fails, or, if the
//! number was opened again, does not find the new file, which is then registered (EV-1001, EV-1002). If a
//! duplicate keeps the old file open, only a new epoll instance ends its registration (EV-1003). One is kept in
//! reserve, because the process may have no free descriptor when it is needed. The wake descriptor does not belong
//! to mio, so that every epoll instance can use it.
//!
//! A poller has four descriptors: the epoll instance, its duplicate for the registrar, the reserve, and the wake
//! descriptor.

use super::Source;
use super::always_ready::AlwaysReady;
use super::source::OsSource;
use super::wake_fd::WakeFd;
use crate::events::Events;
use crate::id::Token;
use crate::sync::Mutex;
use mio::Poll;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::{DupFlags, Errno, dup3};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The token of the wake descriptor. No registration has it, because its descriptor would be −1.
const WAKE_TOKEN: mio::Token = mio::Token(usize::MAX);

// mio stores a token, which has 64 bits, in a `usize`.
const _: () = assert!(usize::BITS >= 64);

/// The initial capacity of a wait, in events. It is doubled after a wait that fills it, so that finally every
/// ready descriptor is reported in every turn (EV-508).
const INITIAL_EVENTS: usize = 1024;

/// A poller on epoll.
#[derive(Debug)]
pub(super) struct MioPoller {
    poll: Poll,
    /// The instance for the next [`recreate`](MioPoller::recreate); `None` after it was used while no descriptor was
    /// free.
    reserve: Option<Poll>,
    events: mio::Events,
    /// The number of events returned since the last wait.
    reported: Cell<usize>,
    /// The always-ready descriptors of the last wait. Its storage is reused.
    always_ready: Vec<(Token, Events)>,
    registrar: MioRegistrar,
}

/// The registrar of a [`MioPoller`].
#[derive(Debug, Clone)]
pub(super) struct MioRegistrar(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// A duplicate of the epoll descriptor, because a wait borrows mio's poll. When the poller is recreated, the
    /// duplicate becomes one of the new instance. Its lock is taken after the registry's lock, so no thread waits
    /// for it.
    epoll: Mutex<OwnedFd>,
    always_ready: AlwaysReady,
}

impl MioPoller {
    /// Creates a poller with `wake` as its only registration.
    pub(super) fn new(wake: &WakeFd) -> io::Result<MioPoller> {
        let poll = new_poll(wake)?;
        let epoll = poll.registry().as_fd().try_clone_to_owned()?;
        Ok(MioPoller {
            poll,
            reserve: Some(new_poll(wake)?),
            events: mio::Events::with_capacity(INITIAL_EVENTS),
            reported: Cell::new(0),
            always_ready: Vec::new(),
            registrar: MioRegistrar(Arc::new(Shared {
                epoll: Mutex::new(epoll),
                always_ready: AlwaysReady::new(),
            })),
        })
    }

    pub(super) fn registrar(&self) -> &MioRegistrar {
        &self.registrar
    }

    pub(super) fn wait(&mut self, wake: &WakeFd, timeout: Option<Duration>) -> io::Result<()> {
        self.fill_reserve(wake);
        if self.reported.replace(0) >= self.events.capacity() {
            self.events = mio::Events::with_capacity(self.events.capacity() * 2);
        }
        self.always_ready.clear();
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) => {
                self.events.clear();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        let always_ready = &self.registrar.0.always_ready;
        always_ready.append_to(&mut self.always_ready);
        Ok(())
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }

    pub(super) fn is_always_ready(&self) -> bool {
        self.registrar.0.always_ready.is_ready()
    }

    pub(super) fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        let polled = self.events.iter().filter(|event| {
            self.reported.set(self.reported.get() + 1);
            event.token() != WAKE_TOKEN
        });
        polled
            .map(|event| (Token::from_bits(event.token().0 as u64), events_of(event)))
            .chain(self.always_ready.iter().copied())
    }

    /// Replaces the epoll instance by the reserve, whose single registration is `wake`. This needs no free descriptor.
    pub(super) fn recreate(&mut self, wake: &WakeFd) -> io::Result<()> {
        let new = match self.reserve.take() {
            Some(reserve) => reserve,
            None => new_poll(wake)?,
        };
        let shared = &self.registrar.0;
        let replaced = dup3(new.registry(), &mut shared.epoll.lock(), DupFlags::CLOEXEC);
        if let Err(error) = replaced {
            self.reserve = Some(new);
            return Err(error.into());
        }
        shared.always_ready.clear();
        // Closes the old descriptor, so that there is one for the reserve.
        self.poll = new;
        self.fill_reserve(wake);
        Ok(())
    }

    /// Creates the reserve if there is none. If no descriptor is free, each wait tries again.
    fn fill_reserve(&mut self, wake: &WakeFd) {
        if self.reserve.is_none() {
            self.reserve = new_poll(wake).ok();
        }
    }
}

/// Creates an epoll instance with the single registration of the wake descriptor. It is edge-triggered, so
/// that the wake descriptor need not be read. An earlier wake is reported, too.
fn new_poll(wake: &WakeFd) -> io::Result<Poll> {
    let poll = Poll::new()?;
    let data = EventData::new_u64(WAKE_TOKEN.0 as u64);
    epoll::add(poll.registry(), wake, data, EventFlags::IN | EventFlags::ET)?;
    Ok(poll)
}

impl MioRegistrar {
    pub(super) fn register(
        &self,
        source: &OsSource,
        token: Token,
        interest: Events,
    ) -> io::Result<()> {
        let epoll = self.0.epoll.lock();
        let (data, flags) = (EventData::new_u64(token.into_bits()), flags_of(interest));
        let result = match epoll::add(&*epoll, source, data, flags) {
            // The descriptor was closed before its removal and opened again, and a duplicate keeps the old
            // registration, which is replaced (EV-1002).
            Err(Errno::EXIST) => epoll::modify(&*epoll, source, data, flags),
            result => result,
        };
        self.record_result(token, interest, result)
    }

    pub(super) fn reregister(
        &self,
        source: &OsSource,
        token: Token,
        interest: Events,
    ) -> io::Result<()> {
        let epoll = self.0.epoll.lock();
        let data = EventData::new_u64(token.into_bits());
        let result = epoll::modify(&*epoll, source, data, flags_of(interest));
        self.record_result(token, interest, result)
    }

    pub(super) fn deregister(&self, source: &OsSource) {
        let shared = &*self.0;
        shared.always_ready.remove(source.fd());
        // Fails if the descriptor was closed before its removal, or if it is always ready. An always-ready
        // descriptor may have been another file before, which has a registration.
        let _ = epoll::delete(&*shared.epoll.lock(), source);
    }

    /// Records the result of a registration: a descriptor that epoll does not accept is always ready, and any
    /// other is not, even if it was an always-ready file before (EV-1002, EV-1004).
    fn record_result(
        &self,
        token: Token,
        interest: Events,
        result: Result<(), Errno>,
    ) -> io::Result<()> {
        let always_ready = &self.0.always_ready;
        if result == Err(Errno::PERM) {
            always_ready.insert(token, interest);
            return Ok(());
        }
        always_ready.remove(token.fd());
        Ok(result?)
    }
}

fn flags_of(interest: Events) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.contains(Events::READABLE));
    flags.set(EventFlags::OUT, interest.contains(Events::WRITABLE));
    flags
}

/// Converts an event of mio. Without `EPOLLRDHUP`, mio's "read closed" is exactly `EPOLLHUP`.
fn events_of(event: &mio::event::Event) -> Events {
    let mut events = Events::NONE;
    if event.is_readable() {
        events |= Events::READABLE;
    }
    if event.is_writable() {
        events |= Events::WRITABLE;
    }
    if event.is_error() {
        events |= Events::ERROR;
    }
    if event.is_read_closed() {
        events |= Events::HANGUP;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    // `MioPoller::reserve`: without a free descriptor after its use, it is created by a later wait.
    #[test]
    fn wait_fills_an_empty_reserve() {
        let wake = WakeFd::new().unwrap();
        let mut poller = MioPoller::new(&wake).unwrap();
        for _ in 0..2 {
            let reserved = poller.reserve.as_ref().map(AsRawFd::as_raw_fd);
            poller.recreate(&wake).unwrap();
            let used = poller.poll_fd().as_raw_fd();
            assert_eq!(reserved, Some(used), "the reserve was not used");
            assert!(poller.reserve.is_some());
        }
        poller.reserve = None;
        poller.wait(&wake, Some(Duration::ZERO)).unwrap();
        assert!(poller.reserve.is_some());
        poller.reserve = None;
        poller.recreate(&wake).unwrap();
        assert!(poller.reserve.is_some());
    }
}
