//! Registrations of descriptors that epoll does not accept because they are always ready: regular files,
//! directories and `/dev/null` (EV-1004).

use crate::events::Events;
use crate::id::Token;
use crate::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The always-ready registrations of a poller. While there is one, waits do not block.
#[derive(Debug)]
pub(super) struct AlwaysReady {
    /// Taken after the registry's lock. No other lock is taken while it is held.
    registered: Mutex<AlwaysReadySet>,
    /// The number of registrations, so that a wait without any does not take the lock.
    count: AtomicUsize,
}

/// The token and the interest of each descriptor.
type AlwaysReadySet = BTreeMap<RawFd, (Token, Events)>;

impl AlwaysReady {
    pub(super) fn new() -> AlwaysReady {
        AlwaysReady {
            registered: Mutex::new(AlwaysReadySet::new()),
            count: AtomicUsize::new(0),
        }
    }

    /// Adds or replaces the registration of the descriptor in `token`.
    pub(super) fn insert(&self, token: Token, interest: Events) {
        let mut registered = self.registered.lock();
        registered.insert(token.fd(), (token, interest));
        self.count.store(registered.len(), Ordering::Release);
    }

    /// Removes the registration of a descriptor, if there is one.
    #[inline]
    pub(super) fn remove(&self, fd: RawFd) {
        if let Some(mut registered) = self.lock_unless_empty() {
            registered.remove(&fd);
            self.count.store(registered.len(), Ordering::Release);
        }
    }

    /// Removes all registrations.
    pub(super) fn clear(&self) {
        if let Some(mut registered) = self.lock_unless_empty() {
            registered.clear();
            self.count.store(0, Ordering::Release);
        }
    }

    /// Appends the events of all registrations to `ready`.
    #[inline]
    pub(super) fn append_to(&self, ready: &mut Vec<(Token, Events)>) {
        if let Some(registered) = self.lock_unless_empty() {
            let found = registered.values();
            let found = found.map(|(token, interest)| (*token, always_ready_events(*interest)));
            ready.extend(found.filter(|(_, events)| !events.is_empty()));
        }
    }

    /// Returns `true` if a registration has an event, so that a wait must not block.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.lock_unless_empty().is_some_and(|registered| {
            let mut interests = registered.values().map(|(_, interest)| *interest);
            interests.any(|interest| !always_ready_events(interest).is_empty())
        })
    }

    /// Locks the registrations, or returns `None` if there are none.
    fn lock_unless_empty(&self) -> Option<MutexGuard<'_, AlwaysReadySet>> {
        (self.count.load(Ordering::Acquire) > 0).then(|| self.registered.lock())
    }
}

/// Returns the events of `interest` that an always-ready descriptor has.
fn always_ready_events(interest: Events) -> Events {
    interest & (Events::READABLE | Events::WRITABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> Events {
        Events::READABLE | Events::WRITABLE
    }

    fn ready(registered: &AlwaysReady) -> Vec<(Token, Events)> {
        let mut ready = Vec::new();
        registered.append_to(&mut ready);
        ready
    }

    #[test]
    fn insert_replaces_the_registration_of_a_descriptor() {
        let registered = AlwaysReady::new();
        let (first, second, other) = (Token::new(3, 1), Token::new(3, 3), Token::new(4, 2));
        registered.insert(first, Events::READABLE);
        registered.insert(other, both());
        registered.insert(second, Events::WRITABLE);
        let right = [(second, Events::WRITABLE), (other, both())];
        assert_eq!(ready(&registered), right);
    }

    #[test]
    fn hangup_interest_alone_is_never_ready() {
        let registered = AlwaysReady::new();
        registered.insert(Token::new(3, 1), Events::HANGUP);
        assert!(!registered.is_ready());
        assert_eq!(ready(&registered), []);
        registered.insert(Token::new(4, 2), both() | Events::HANGUP);
        assert!(registered.is_ready());
        assert_eq!(ready(&registered), [(Token::new(4, 2), both())]);
    }

    #[test]
    fn remove_and_clear_leave_no_descriptor_ready() {
        let registered = AlwaysReady::new();
        registered.remove(3);
        registered.insert(Token::new(3, 1), both());
        registered.insert(Token::new(5, 2), both());
        registered.remove(4);
        registered.remove(3);
        assert_eq!(ready(&registered), [(Token::new(5, 2), both())]);
        registered.clear();
        assert!(!registered.is_ready());
        assert_eq!(ready(&registered), []);
    }
}
