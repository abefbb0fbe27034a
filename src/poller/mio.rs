//! The default backend, on `epoll(7)`: mio's poll with level-triggered registrations on mio's epoll
//! descriptor.
//!
//! mio itself registers descriptors edge-triggered and with `EPOLLRDHUP`, which it reports as a hang-up. The
//! event API requires level-triggered readiness and exact hang-ups, so this module calls `epoll_ctl` without
//! `EPOLLET` and `EPOLLRDHUP`. A half-close is then never reported, and mio's accessors return the events of
//! `poll(2)`.
//!
//! epoll does not report that a registered descriptor was closed. It reports events of the file until the last
//! duplicate is closed, and then drops the registration. The next change of the registration fails (EV-1001).
//! If the handle is removed before that, only a new epoll descriptor ends the registration (EV-1003). The
//! wake descriptor does not belong to mio, so that a new epoll descriptor can use it.

use super::Source;
use super::always_ready::AlwaysReady;
use super::source::OsSource;
use super::wake_fd::WakeFd;
use crate::events::Events;
use crate::id::Token;
use crate::sync::Mutex;
use mio::{Poll, Registry};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
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
    /// mio's registry, replaced when the poller is recreated. Its lock is taken after the registry's lock, so
    /// no thread waits for it.
    registry: Mutex<Registry>,
    always_ready: AlwaysReady,
}

impl MioPoller {
    /// Creates a poller with a new epoll descriptor, and registers `wake` with it.
    pub(super) fn new(wake: &WakeFd) -> io::Result<MioPoller> {
        let (poll, registry) = new_poll(wake)?;
        Ok(MioPoller {
            poll,
            events: mio::Events::with_capacity(INITIAL_EVENTS),
            reported: Cell::new(0),
            always_ready: Vec::new(),
            registrar: MioRegistrar(Arc::new(Shared {
                registry: Mutex::new(registry),
                always_ready: AlwaysReady::new(),
            })),
        })
    }

    pub(super) fn registrar(&self) -> &MioRegistrar {
        &self.registrar
    }

    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
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

    /// Replaces the epoll descriptor by a new one with the single registration of `wake`.
    pub(super) fn recreate(&mut self, wake: &WakeFd) -> io::Result<()> {
        let shared = &self.registrar.0;
        let (poll, registry) = new_poll(wake)?;
        *shared.registry.lock() = registry;
        shared.always_ready.clear();
        self.poll = poll;
        Ok(())
    }
}

/// Creates an epoll descriptor with the single registration of the wake descriptor. It is edge-triggered, so
/// that the wake descriptor need not be read. An earlier wake is reported, too.
fn new_poll(wake: &WakeFd) -> io::Result<(Poll, Registry)> {
    let poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    let data = EventData::new_u64(WAKE_TOKEN.0 as u64);
    epoll::add(&registry, wake, data, EventFlags::IN | EventFlags::ET)?;
    Ok((poll, registry))
}

impl MioRegistrar {
    pub(super) fn register(
        &self,
        source: &OsSource,
        token: Token,
        interest: Events,
    ) -> io::Result<()> {
        let registry = self.0.registry.lock();
        let (data, flags) = (EventData::new_u64(token.into_bits()), flags_of(interest));
        let result = match epoll::add(&*registry, source, data, flags) {
            // The descriptor was closed before its removal and opened again, and a duplicate keeps the old
            // registration, which is replaced (EV-1002).
            Err(Errno::EXIST) => epoll::modify(&*registry, source, data, flags),
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
        let registry = self.0.registry.lock();
        let data = EventData::new_u64(token.into_bits());
        let result = epoll::modify(&*registry, source, data, flags_of(interest));
        self.record_result(token, interest, result)
    }

    pub(super) fn deregister(&self, source: &OsSource) {
        let shared = &*self.0;
        shared.always_ready.remove(source.fd());
        // Fails if the descriptor was closed before its removal, or if it is always ready. An always-ready
        // descriptor may have been another file before, which has a registration.
        let _ = epoll::delete(&*shared.registry.lock(), source);
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
