//! The default backend, on `epoll(7)`: level-triggered registrations and waits on the epoll descriptor of mio's
//! poll.
//!
//! mio itself registers descriptors edge-triggered and with `EPOLLRDHUP`, which it reports as a hang-up. The
//! event API requires level-triggered readiness and exact hang-ups, so this module calls `epoll_ctl` without
//! `EPOLLET` and `EPOLLRDHUP`. A half-close is then never reported, and the events are those of `poll(2)`. It also
//! waits by itself: mio waits through the C library, where a system call takes up to a third longer.
//!
//! epoll does not report that a registered descriptor was closed. It reports events of the file until the last
//! duplicate is closed, and then drops the registration. The next change of the registration fails, or, if the
//! number was opened again, does not find the new file, which is then registered (EV-1001, EV-1002). If a
//! duplicate keeps the old file open, only a new epoll instance ends its registration (EV-1003). One is kept in
//! reserve, because the process may have no free descriptor when it is needed. If an instance cannot be replaced
//! nevertheless, the waits [pause](super::pause). The wake descriptor does not belong to mio, so that every epoll
//! instance can use it.
//!
//! A poller has four descriptors: the epoll instance, its duplicate for the registrar, the reserve, and the wake
//! descriptor.

use super::Source;
use super::always_ready::AlwaysReady;
use super::clock::Clock;
use super::pause::Pause;
use super::source::OsSource;
use super::wake_fd::WakeFd;
use crate::events::Events;
use crate::id::Token;
use crate::sync::Mutex;
use mio::Poll;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::{DupFlags, Errno, dup3};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The token of the wake descriptor. No registration has it, because its descriptor would be −1.
const WAKE: u64 = u64::MAX;

/// The longest wait: some 24 days. Longer ones are another system call, which older kernels lack.
const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);

/// The capacity of a wait, in events, up to which they are on the stack. The capacity is doubled after a wait that fills
/// it, so that finally every ready descriptor is reported in every turn (EV-508).
const INITIAL_EVENTS: usize = 1024;

/// A poller on epoll.
#[derive(Debug)]
pub(super) struct MioPoller {
    poll: Poll,
    /// The instance for the next [`recreate`](MioPoller::recreate); `None` after it was used while no descriptor was
    /// free.
    reserve: Option<Poll>,
    /// Begins when the epoll instance cannot be replaced.
    pause: Pause,
    /// The capacity of the next wait, in events.
    capacity: usize,
    /// The events of the last wait. Its storage is reused.
    ready: Vec<(Token, Events)>,
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
            pause: Pause::default(),
            capacity: INITIAL_EVENTS,
            ready: Vec::new(),
            registrar: MioRegistrar(Arc::new(Shared {
                epoll: Mutex::new(epoll),
                always_ready: AlwaysReady::new(),
            })),
        })
    }

    pub(super) fn registrar(&self) -> &MioRegistrar {
        &self.registrar
    }

    #[inline]
    pub(super) fn wait(
        &mut self,
        wake: &WakeFd,
        clock: &Clock,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if self.reserve.is_none() || self.pause.has_begun() {
            return self.wait_after_failure(wake, clock, timeout);
        }
        self.wait_for_ready(timeout)
    }

    /// Waits after a reserve could not be filled, or the epoll instance could not be replaced.
    #[cold]
    #[inline(never)]
    fn wait_after_failure(
        &mut self,
        wake: &WakeFd,
        clock: &Clock,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.fill_reserve(wake);
        let timeout = self.pause.wait(wake, clock.now(), timeout);
        self.wait_for_ready(timeout)
    }

    #[inline]
    fn wait_for_ready(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        // The kernel's events are not `Send`, so they cannot be kept here.
        let mut on_stack = [const { MaybeUninit::uninit() }; INITIAL_EVENTS];
        let mut on_heap;
        let mut space: &mut [MaybeUninit<Event>] = &mut on_stack;
        if self.capacity > INITIAL_EVENTS {
            on_heap = Box::new_uninit_slice(self.capacity);
            space = &mut on_heap;
        }
        self.wait_for(space, timeout)?;
        self.registrar.0.always_ready.append_to(&mut self.ready);
        Ok(())
    }

    /// Waits for as many events as there is space for, and appends them to the ready ones.
    #[inline]
    fn wait_for(
        &mut self,
        space: &mut [MaybeUninit<Event>],
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let timeout = timeout.map(timespec_of);
        let events = match epoll::wait(self.poll.registry(), space, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if events.len() == self.capacity {
            self.capacity *= 2;
        }
        self.ready.extend(events.iter().filter_map(|event| {
            let (data, flags) = (event.data, event.flags);
            let is_wake = data.u64() == WAKE;
            (!is_wake).then(|| (Token::from_bits(data.u64()), events_of(flags)))
        }));
        Ok(())
    }

    /// Returns the epoll descriptor; during a pause, in which it is always readable, the wake descriptor.
    pub(super) fn poll_fd<'a>(&'a self, wake: &'a WakeFd) -> BorrowedFd<'a> {
        if self.pause.has_begun() {
            wake.as_fd()
        } else {
            self.poll.registry().as_fd()
        }
    }

    /// Returns the rest of the pause.
    pub(super) fn longest_wait(&self, clock: &Clock) -> Option<Duration> {
        if self.pause.has_begun() {
            return self.pause.rest(clock.now());
        }
        None
    }

    #[inline]
    pub(super) fn is_always_ready(&self) -> bool {
        self.registrar.0.always_ready.is_ready()
    }

    pub(super) fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.ready.iter().copied()
    }

    /// Replaces the epoll instance by the reserve, whose single registration is `wake`. This needs no free descriptor.
    /// If it fails, a pause begins.
    pub(super) fn recreate(&mut self, wake: &WakeFd, clock: &Clock) -> io::Result<()> {
        let result = self.replace(wake);
        if result.is_err() {
            self.pause.begin(clock.now());
        }
        result
    }

    fn replace(&mut self, wake: &WakeFd) -> io::Result<()> {
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
    let data = EventData::new_u64(WAKE);
    epoll::add(poll.registry(), wake, data, EventFlags::IN | EventFlags::ET)?;
    Ok(poll)
}

impl MioRegistrar {
    #[inline]
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

    #[inline]
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

    #[inline]
    pub(super) fn deregister(&self, source: &OsSource) {
        let shared = &*self.0;
        shared.always_ready.remove(source.fd());
        // Fails if the descriptor was closed before its removal, or if it is always ready. An always-ready
        // descriptor may have been another file before, which has a registration.
        let _ = epoll::delete(&*shared.epoll.lock(), source);
    }

    /// Records the result of a registration: a descriptor that epoll does not accept is always ready, and any
    /// other is not, even if it was an always-ready file before (EV-1002, EV-1004).
    #[inline]
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

/// Returns the events in the flags of an event of the kernel.
#[inline]
fn events_of(flags: EventFlags) -> Events {
    const _: () = {
        assert!(EventFlags::IN.bits() == Events::READABLE.bits());
        assert!(EventFlags::OUT.bits() >> 1 == Events::WRITABLE.bits());
        assert!(EventFlags::ERR.bits() >> 1 == Events::ERROR.bits());
        assert!(EventFlags::HUP.bits() >> 1 == Events::HANGUP.bits());
    };
    let others = Events::ALL.difference(Events::READABLE).bits();
    Events::from_bits_retain(flags.bits() & Events::READABLE.bits() | flags.bits() >> 1 & others)
}

/// Converts a time to wait, at most [`LONGEST_WAIT`].
fn timespec_of(timeout: Duration) -> Timespec {
    let timeout = timeout.min(LONGEST_WAIT);
    Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn events_of_the_kernel_are_those_of_poll() {
        let all = [
            (EventFlags::IN, Events::READABLE),
            (EventFlags::OUT, Events::WRITABLE),
            (EventFlags::ERR, Events::ERROR),
            (EventFlags::HUP, Events::HANGUP),
        ];
        for (flag, event) in all {
            assert_eq!(events_of(flag), event);
            assert_eq!(events_of(EventFlags::all() - flag), Events::ALL - event);
        }
    }

    #[test]
    fn longest_wait_has_milliseconds_of_the_kernel() {
        let longest = timespec_of(Duration::MAX);
        assert_eq!(longest, LONGEST_WAIT.try_into().unwrap());
        assert_eq!(LONGEST_WAIT.as_millis(), i32::MAX as u128);
        let short = Duration::new(3, 999_999_999);
        assert_eq!(timespec_of(short), short.try_into().unwrap());
    }

    // `MioPoller::reserve`: without a free descriptor after its use, it is created by a later wait.
    #[test]
    fn wait_fills_an_empty_reserve() {
        let (wake, clock) = (WakeFd::new().unwrap(), Clock::new());
        let mut poller = MioPoller::new(&wake).unwrap();
        for _ in 0..2 {
            let reserved = poller.reserve.as_ref().map(AsRawFd::as_raw_fd);
            poller.recreate(&wake, &clock).unwrap();
            let used = poller.poll_fd(&wake).as_raw_fd();
            assert_eq!(reserved, Some(used), "the reserve was not used");
            assert!(poller.reserve.is_some());
        }
        poller.reserve = None;
        poller.wait(&wake, &clock, Some(Duration::ZERO)).unwrap();
        assert!(poller.reserve.is_some());
        poller.reserve = None;
        poller.recreate(&wake, &clock).unwrap();
        assert!(poller.reserve.is_some());
    }
}
