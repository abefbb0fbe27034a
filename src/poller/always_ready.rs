//! Descriptors that cannot be polled because they are always ready: regular files, directories and
//! `/dev/null` (EV-1004).

use crate::events::Events;
use crate::id::Token;
use crate::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The always-ready registrations of one poller. While there is one, the wait does not block.
#[derive(Debug)]
pub(super) struct AlwaysReady {
    /// A second lock, always taken after the registry's and never held across anything else.
    registered: Mutex<Vec<(Token, Events)>>,
    /// Their number, so that the wait need not take the lock when there is none.
    count: AtomicUsize,
}

impl AlwaysReady {
    pub(super) fn new() -> AlwaysReady {
        AlwaysReady {
            registered: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
        }
    }

    /// Registers `token`, or changes what it wants.
    pub(super) fn insert(&self, token: Token, interest: Events) {
        let mut registered = self.registered.lock();
        match registered.iter_mut().find(|(known, _)| *known == token) {
            Some(entry) => entry.1 = interest,
            None => registered.push((token, interest)),
        }
        self.count.store(registered.len(), Ordering::Release);
    }

    /// Changes what the registration wants, if it is one of ours.
    pub(super) fn update(&self, token: Token, interest: Events) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut registered = self.registered.lock();
        match registered.iter_mut().find(|(known, _)| *known == token) {
            Some(entry) => {
                entry.1 = interest;
                true
            }
            None => false,
        }
    }

    /// Ends the registration of a descriptor, if it is one of ours.
    pub(super) fn remove(&self, fd: std::os::fd::RawFd) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut registered = self.registered.lock();
        let before = registered.len();
        registered.retain(|(token, _)| token.fd() != fd);
        self.count.store(registered.len(), Ordering::Release);
        registered.len() < before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Appends what is ready, which is what is wanted of reading and writing.
    pub(super) fn append_to(&self, ready: &mut Vec<(Token, Events)>) {
        if !self.is_empty() {
            let possible = Events::READABLE | Events::WRITABLE;
            let registered = self.registered.lock();
            ready.extend(
                registered
                    .iter()
                    .map(|(token, interest)| (*token, *interest & possible))
                    .filter(|(_, events)| !events.is_empty()),
            );
        }
    }

    /// Whether some registration wants reading or writing, so that a wait must not block.
    pub(super) fn is_ready(&self) -> bool {
        let possible = Events::READABLE | Events::WRITABLE;
        !self.is_empty()
            && self
                .registered
                .lock()
                .iter()
                .any(|(_, interest)| interest.intersects(possible))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(registered: &AlwaysReady) -> Vec<(Token, Events)> {
        let mut ready = Vec::new();
        registered.append_to(&mut ready);
        ready
    }

    #[test]
    fn a_token_is_there_once_with_what_it_wanted_last() {
        let registered = AlwaysReady::new();
        let (a, b) = (Token::new(3, 1), Token::new(4, 2));
        let both = Events::READABLE | Events::WRITABLE;
        registered.insert(a, Events::READABLE);
        registered.insert(b, both);
        registered.insert(a, Events::WRITABLE);
        assert_eq!(ready(&registered), [(a, Events::WRITABLE), (b, both)]);
        assert!(registered.update(b, Events::NONE) && registered.is_ready());
        assert_eq!(ready(&registered), [(a, Events::WRITABLE)]);
        assert!(!registered.update(Token::new(5, 1), both));
    }

    #[test]
    fn a_removal_says_whether_there_was_anything() {
        let registered = AlwaysReady::new();
        assert!(registered.is_empty() && !registered.is_ready() && !registered.remove(3));
        registered.insert(Token::new(3, 1), Events::READABLE);
        assert!(!registered.remove(4) && registered.is_ready());
        assert!(registered.remove(3) && registered.is_empty() && !registered.is_ready());
        assert_eq!(ready(&registered), []);
    }
}
