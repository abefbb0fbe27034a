//! A backend on `poll(2)`. The registrations are kept here, not in the kernel.
//!
//! `poll(2)` is level-triggered, exact, and accepts every kind of descriptor. Each wait passes all
//! registrations to the kernel.
//!
//! A wait moves the registrations out of the [`PollSet`], because it borrows their descriptors while it
//! blocks, and then moves them back. Changes during the wait are recorded. They are applied when the wait
//! returns, before it reports events.

use super::Source;
use super::source::OsSource;
use super::wake_fd::WakeFd;
use crate::events::Events;
use crate::id::Token;
use crate::sync::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// A poller on `poll(2)`.
#[derive(Debug)]
pub(super) struct PollPoller {
    /// The argument of the system call; empty between two waits. Its storage is reused.
    polled: Vec<PollFd<'static>>,
    ready: Vec<(Token, Events)>,
    lost: Vec<Token>,
    registrar: PollRegistrar,
}

/// The registrar of a [`PollPoller`].
///
/// Its lock is taken after the registry's lock. No other lock is taken while it is held.
#[derive(Clone, Debug, Default)]
pub(super) struct PollRegistrar(Arc<Mutex<PollSet>>);

/// The registrations of a poller, and the changes during a wait.
#[derive(Debug, Default)]
struct PollSet {
    /// The registration of each descriptor; empty during a wait.
    registered: BTreeMap<RawFd, Registration>,
    /// Set during a wait, which has the registrations.
    is_waiting: bool,
    /// The changes during the wait, in order.
    pending: Vec<PendingChange>,
    /// Sources of ended registrations. A drop of the last reference runs code of the user, so they are dropped
    /// when no lock is held.
    released: Vec<OsSource>,
    /// Set when the poller was dropped: there will be no wait.
    is_closed: bool,
}

#[derive(Debug)]
struct Registration {
    token: Token,
    interest: Events,
    source: OsSource,
}

/// A change of a [`PollSet`].
#[derive(Debug)]
enum PendingChange {
    Register(Registration),
    Deregister(RawFd),
}

impl PollPoller {
    /// Creates a poller without registrations.
    pub(super) fn new() -> PollPoller {
        PollPoller {
            polled: Vec::new(),
            ready: Vec::new(),
            lost: Vec::new(),
            registrar: PollRegistrar::default(),
        }
    }

    pub(super) fn registrar(&self) -> &PollRegistrar {
        &self.registrar
    }

    /// Waits until a registered descriptor is ready, `wake` is sent, or `timeout` has passed.
    pub(super) fn wait(&mut self, wake: &WakeFd, timeout: Option<Duration>) -> io::Result<()> {
        drop(self.registrar.take_released());
        let registered = self.registrar.0.lock().begin_wait();
        let result = self.poll(&registered, wake, timeout);
        self.finish_wait(registered);
        drop(self.registrar.take_released());
        result
    }

    pub(super) fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.ready.iter().copied()
    }

    pub(super) fn lost(&self) -> impl Iterator<Item = Token> {
        self.lost.iter().copied()
    }

    /// Passes `registered` to the kernel and collects the results. Closed descriptors, and those that cannot
    /// be polled at all (`O_PATH`), are lost.
    fn poll(
        &mut self,
        registered: &BTreeMap<RawFd, Registration>,
        wake: &WakeFd,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.ready.clear();
        self.lost.clear();
        let mut polled: Vec<PollFd<'_>> = std::mem::take(&mut self.polled);
        polled.push(PollFd::new(wake, PollFlags::IN));
        polled.extend(registered.values().map(|registration| {
            PollFd::from_borrowed_fd(registration.source.as_fd(), flags_of(registration.interest))
        }));
        // In nanoseconds, so it is not rounded. A timeout that is too long for a `Timespec` is no timeout.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let result = poll(&mut polled, timeout.as_ref());
        if let Ok(mut left) = result {
            let mut found = polled.iter().map(PollFd::revents);
            if found.next().is_some_and(|flags| !flags.is_empty()) {
                left -= 1;
                wake.drain();
            }
            let found = registered.values().zip(found);
            let found = found.filter(|(_, flags)| !flags.is_empty()).take(left);
            for (registration, flags) in found {
                if flags.contains(PollFlags::NVAL) {
                    self.lost.push(registration.token);
                } else {
                    self.ready.push((registration.token, events_of(flags)));
                }
            }
        }
        self.polled = recycle(polled);
        match result {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves `registered` back, and drops the events of registrations that ended or changed during the wait.
    fn finish_wait(&mut self, registered: BTreeMap<RawFd, Registration>) {
        let mut set = self.registrar.0.lock();
        if set.end_wait(registered, &self.lost) {
            self.ready.retain(|(token, _)| set.contains(*token));
        }
    }
}

impl Drop for PollPoller {
    /// Drops the sources, because registries may keep the registrar.
    fn drop(&mut self) {
        let mut set = self.registrar.0.lock();
        set.is_closed = true;
        let registered = std::mem::take(&mut set.registered);
        drop(set);
        drop(registered);
        drop(self.registrar.take_released());
    }
}

impl PollRegistrar {
    fn submit(&self, change: PendingChange) {
        let mut set = self.0.lock();
        if set.is_closed {
            return;
        }
        if set.is_waiting {
            set.pending.push(change);
        } else {
            set.apply(change);
        }
    }

    /// Returns the released sources, which the caller drops when it holds no lock.
    fn take_released(&self) -> Vec<OsSource> {
        std::mem::take(&mut self.0.lock().released)
    }

    /// Registers a descriptor, or replaces its registration.
    pub(super) fn register(&self, source: &OsSource, token: Token, interest: Events) {
        self.submit(PendingChange::Register(Registration {
            token,
            interest,
            source: source.clone(),
        }));
    }

    pub(super) fn deregister(&self, source: &OsSource) {
        let fd = source.fd();
        let mut set = self.0.lock();
        let known = set.registered.get(&fd);
        if known.is_some_and(|registration| registration.source.is_kept_by(source)) {
            // The drop of this reference runs no code of the user.
            set.registered.remove(&fd);
            return;
        }
        drop(set);
        self.submit(PendingChange::Deregister(fd));
    }
}

impl PollSet {
    fn begin_wait(&mut self) -> BTreeMap<RawFd, Registration> {
        self.is_waiting = true;
        std::mem::take(&mut self.registered)
    }

    /// Takes the registrations back, removes the lost ones and applies the pending changes. Returns `true` if
    /// there were any changes.
    fn end_wait(&mut self, registered: BTreeMap<RawFd, Registration>, lost: &[Token]) -> bool {
        self.is_waiting = false;
        self.registered = registered;
        for token in lost {
            self.apply(PendingChange::Deregister(token.fd()));
        }
        let has_changed = !self.pending.is_empty();
        let mut pending = std::mem::take(&mut self.pending);
        for change in pending.drain(..) {
            self.apply(change);
        }
        self.pending = pending;
        has_changed
    }

    fn apply(&mut self, change: PendingChange) {
        let replaced = match change {
            PendingChange::Register(registration) => self
                .registered
                .insert(registration.token.fd(), registration),
            PendingChange::Deregister(fd) => self.registered.remove(&fd),
        };
        self.released
            .extend(replaced.map(|registration| registration.source));
    }

    fn contains(&self, token: Token) -> bool {
        let registration = self.registered.get(&token.fd());
        registration.is_some_and(|registration| registration.token == token)
    }
}

/// Returns an empty vector with the storage of `polled` and another lifetime: the standard library collects in
/// place.
fn recycle<'new>(mut polled: Vec<PollFd<'_>>) -> Vec<PollFd<'new>> {
    polled.clear();
    polled
        .into_iter()
        .map(|_| unreachable!("the vector is empty"))
        .collect()
}

fn flags_of(interest: Events) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.contains(Events::READABLE));
    flags.set(PollFlags::OUT, interest.contains(Events::WRITABLE));
    flags
}

fn events_of(flags: PollFlags) -> Events {
    [
        (PollFlags::IN, Events::READABLE),
        (PollFlags::OUT, Events::WRITABLE),
        (PollFlags::ERR, Events::ERROR),
        (PollFlags::HUP, Events::HANGUP),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(Events::NONE, |events, (_, event)| events | event)
}

#[cfg(test)]
mod tests;
