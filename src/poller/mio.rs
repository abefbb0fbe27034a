//! The default backend, on `epoll(7)`: mio's poll, with level-triggered registrations of our own on mio's
//! epoll descriptor.
//!
//! mio registers edge-triggered and asks for `EPOLLRDHUP`, which it then reports as a hang-up. The event
//! API promises level-triggered readiness and an exact hang-up, so descriptors are registered here by
//! `epoll_ctl` without `EPOLLET` and `EPOLLRDHUP`. Level semantics then cost nothing per event, and as a
//! half-close is never reported, mio's accessors say exactly what `poll(2)` would.
//!
//! A descriptor that is closed while it is registered is noticed at best: epoll forgets it silently when
//! its last duplicate is closed, and goes on reporting the file until then. It is heard of when epoll is
//! next told of it, which then refuses it (EV-1001). If it had been removed meanwhile, nothing can end its
//! registration but a new epoll descriptor (EV-1003). That is why the wake descriptor is our own: it moves
//! along, and whoever wakes need not know.

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

/// No registration has this token: its descriptor would be −1.
const WAKE_TOKEN: mio::Token = mio::Token(usize::MAX);

// A token's 64 bits travel through mio as a pointer-sized number.
const _: () = assert!(usize::BITS >= 64);

/// How many events one wait takes at first; doubled whenever a wait fills it, so that in the long run
/// every ready descriptor is reported in every turn (EV-508).
const INITIAL_EVENTS: usize = 1024;

/// Waits with mio.
#[derive(Debug)]
pub(super) struct MioPoller {
    poll: Poll,
    events: mio::Events,
    /// How many events were handed out since the last wait.
    reported: Cell<usize>,
    /// The always-ready descriptors of the last wait; keeps its storage.
    always_ready: Vec<(Token, Events)>,
    registrar: MioRegistrar,
}

/// Registers on mio's epoll descriptor.
#[derive(Debug, Clone)]
pub(super) struct MioRegistrar(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Where to register. A second lock, always taken after the registry's, and nobody waits for it: only
    /// a poller that is rebuilt puts another one here.
    registry: Mutex<Registry>,
    always_ready: AlwaysReady,
}

impl MioPoller {
    /// Creates a poller with an epoll descriptor of its own, whose waits `wake` ends.
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

    /// Takes a new epoll descriptor, which knows nothing but `wake`.
    pub(super) fn recreate(&mut self, wake: &WakeFd) -> io::Result<()> {
        let shared = &self.registrar.0;
        let (poll, registry) = new_poll(wake)?;
        *shared.registry.lock() = registry;
        shared.always_ready.clear();
        self.poll = poll;
        Ok(())
    }
}

/// An epoll descriptor that knows the wake descriptor and nothing else. It is edge-triggered, so wakes need
/// not be taken back; one that was sent before is reported.
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
            // The number was registered before, closed without a removal and opened again, while a
            // duplicate keeps the old registration alive: it is replaced (EV-1002).
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
        // Fails if the descriptor was closed too early, and then the kernel has forgotten it, or if it is
        // always ready: it is asked all the same, for the number may have been another file before.
        let _ = epoll::delete(&*shared.registry.lock(), source);
    }

    /// Notes what epoll made of a descriptor: one that it cannot poll is always ready, and any other is not, even
    /// if the number was one before (EV-1002, EV-1004).
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

/// What was reported. Without `EPOLLRDHUP`, mio's "read closed" is exactly `EPOLLHUP`.
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
