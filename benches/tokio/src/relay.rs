//! W1: tokens of one byte circulate in a ring of socket pairs. In a variant each event restarts an idle timer.

use crate::section::Section;
use crate::{Figures, Random};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

/// Shortest interval of the idle timers; they differ by up to 1,000 seconds.
const SHORTEST: u64 = 3_600_000;

struct Ring {
    writers: Vec<OwnedFd>,
    /// Number of bytes that were passed on.
    passed: AtomicU64,
}

impl Ring {
    /// Passes the bytes of a pair to the next one.
    fn pass(&self, reader: &UnixStream, pair: usize) {
        let mut bytes = [0; 64];
        let Ok(length) = reader.try_read(&mut bytes) else {
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

pub(crate) async fn run(duration: Duration, tokens: u64, pairs: u64, with_timers: bool) -> Figures {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (readers, writers): (Vec<_>, Vec<_>) = (0..pairs)
        .map(|_| socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap())
        .unzip();
    let ring = Arc::new(Ring {
        writers,
        passed: AtomicU64::new(0),
    });
    let mut random = Random::new();
    for (pair, reader) in readers.into_iter().enumerate() {
        let reader = UnixStream::from_std(StdUnixStream::from(reader)).unwrap();
        let ring = Arc::clone(&ring);
        if with_timers {
            let after = Duration::from_millis(SHORTEST + random.below(1_000_000));
            tokio::spawn(relay_with_timer(ring, reader, pair, after));
        } else {
            tokio::spawn(async move {
                loop {
                    reader.readable().await.unwrap();
                    ring.pass(&reader, pair);
                }
            });
        }
    }
    for token in 0..tokens {
        let pair = (token * pairs / tokens) as usize;
        rustix::io::write(&ring.writers[pair], b"t").unwrap();
    }
    let passed = || ring.passed.load(Ordering::Relaxed);
    while passed() < tokens {
        tokio::task::yield_now().await;
    }
    // The main task sleeps, so that only the tasks of the pairs keep the runtime busy.
    let before = passed();
    let mut section = Section::begin(duration);
    while !section.is_over() {
        sleep(duration / 8).await;
    }
    vec![("cpu", section.cpu_per(passed() - before))]
}

async fn relay_with_timer(ring: Arc<Ring>, reader: UnixStream, pair: usize, after: Duration) {
    let mut timer = pin!(sleep(after));
    loop {
        let ready = poll_fn(|context| match reader.poll_read_ready(context) {
            Poll::Pending => timer
                .as_mut()
                .poll(context)
                .map(|()| Err("an idle timer expired")),
            Poll::Ready(ready) => Poll::Ready(ready.map_err(|_| "a socket failed")),
        });
        ready.await.unwrap();
        timer.as_mut().reset(Instant::now() + after);
        ring.pass(&reader, pair);
    }
}
