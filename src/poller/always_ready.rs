//! Descriptors that cannot be polled because they are always ready: regular files, directories and
//! `/dev/null` (EV-1004).

use crate::events::Events;
use crate::id::Token;
use crate::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The always-ready registrations of one poller. While there is one, the wait does not block.
#[derive(Debug)]
pub(super) struct AlwaysReady {
    /// A second lock, always taken after the registry's and never held across anything else.
    registered: Mutex<AlwaysReadySet>,
    /// Their number, so that the wait need not take the lock when there is none.
    count: AtomicUsize,
}

/// By descriptor: a number has one registration.
type AlwaysReadySet = BTreeMap<RawFd, (Token, Events)>;

impl AlwaysReady {
    pub(super) fn new() -> AlwaysReady {
        AlwaysReady {
            registered: Mutex::new(AlwaysReadySet::new()),
            count: AtomicUsize::new(0),
        }
    }

    /// Registers the descriptor of `token`, or changes its registration.
    pub(super) fn insert(&self, token: Token, interest: Events) {
        let mut registered = self.registered.lock();
        registered.insert(token.fd(), (token, interest));
        self.count.store(registered.len(), Ordering::Release);
    }

    /// Ends the registration of a descriptor, if it is one of ours.
    pub(super) fn remove(&self, fd: RawFd) {
        if let Some(mut registered) = self.lock_unless_empty() {
            registered.remove(&fd);
            self.count.store(registered.len(), Ordering::Release);
        }
    }

    /// Ends all registrations.
    pub(super) fn clear(&self) {
        if let Some(mut registered) = self.lock_unless_empty() {
            registered.clear();
            self.count.store(0, Ordering::Release);
        }
    }

    /// Appends what is ready, which is what is wanted of reading and writing.
    pub(super) fn append_to(&self, ready: &mut Vec<(Token, Events)>) {
        if let Some(registered) = self.lock_unless_empty() {
            let found = registered.values();
            let found = found.map(|(token, interest)| (*token, always_ready_events(*interest)));
            ready.extend(found.filter(|(_, events)| !events.is_empty()));
        }
    }

    /// Whether some registration wants reading or writing, so that a wait must not block.
    pub(super) fn is_ready(&self) -> bool {
        self.lock_unless_empty().is_some_and(|registered| {
            let mut interests = registered.values().map(|(_, interest)| *interest);
            interests.any(|interest| !always_ready_events(interest).is_empty())
        })
    }

    /// The registrations, if there are any.
    fn lock_unless_empty(&self) -> Option<MutexGuard<'_, AlwaysReadySet>> {
        (self.count.load(Ordering::Acquire) > 0).then(|| self.registered.lock())
    }
}

/// What of `interest` is always ready.
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
    fn nothing_is_ready_after_the_last_removal() {
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
