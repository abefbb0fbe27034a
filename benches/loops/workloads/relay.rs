//! W1: a ring of socket pairs in which tokens of one byte circulate. A callback reads the bytes of its pair and writes
//! as many to the next one; in a variant it also restarts the idle timer of its pair.

use super::{Figures, Random};
use crate::section::Section;
use crate::subject::Subject;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shortest interval of the idle timers; they differ by up to 1,000 seconds.
const SHORTEST: u64 = 3_600_000;

/// Most turns until all tokens have been seen.
const WARM_UP: usize = 100;

struct Ring {
    readers: Vec<Arc<OwnedFd>>,
    writers: Vec<OwnedFd>,
    /// Number of bytes that were passed on.
    passed: AtomicU64,
}

impl Ring {
    fn new(pairs: u64) -> Ring {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let pairs = (0..pairs).map(|_| {
            let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
            let (reader, writer) =
                pair.unwrap_or_else(|error| panic!("cannot create a socket pair: {error}"));
            (Arc::new(reader), writer)
        });
        let (readers, writers) = pairs.unzip();
        Ring {
            readers,
            writers,
            passed: AtomicU64::new(0),
        }
    }

    fn put_token(&self, pair: usize) {
        rustix::io::write(&self.writers[pair], b"t").unwrap();
    }

    /// Passes the bytes of a pair to the next one.
    fn pass(&self, pair: usize) {
        let mut bytes = [0; 64];
        let Ok(length) = rustix::io::read(&self.readers[pair], &mut bytes) else {
            return;
        };
        let next = if pair + 1 == self.writers.len() {
            0
        } else {
            pair + 1
        };
        rustix::io::write(&self.writers[next], &bytes[..length]).unwrap();
        let passed = self.passed.load(Ordering::Relaxed) + length as u64;
        self.passed.store(passed, Ordering::Relaxed);
    }
}

pub(super) fn run<S: Subject>(
    duration: Duration,
    tokens: u64,
    pairs: u64,
    with_timers: bool,
) -> Figures {
    let mut subject = S::new();
    let ring = Arc::new(Ring::new(pairs));
    let mut random = Random::new();
    for (pair, reader) in ring.readers.iter().enumerate() {
        let shared = Arc::clone(&ring);
        if with_timers {
            let after = Duration::from_millis(SHORTEST + random.below(1_000_000));
            let timer = subject.add_timer(after, || unreachable!("an idle timer was called"));
            subject.add_shared(reader, move |inside| {
                S::restart_inside(inside, timer, after);
                shared.pass(pair);
            });
        } else {
            subject.add_shared(reader, move |_| shared.pass(pair));
        }
    }
    for token in 0..tokens {
        ring.put_token((token * pairs / tokens) as usize);
    }
    let passed = || ring.passed.load(Ordering::Relaxed);
    for _ in 0..WARM_UP {
        if passed() >= tokens {
            break;
        }
        subject.turn();
    }
    let before = passed();
    let mut section = Section::begin(duration);
    while !section.is_over() {
        subject.turn();
    }
    vec![("cpu", section.cpu_per(passed() - before))]
}
