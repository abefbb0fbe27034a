//! W5: the time from a request of another thread until the waiting loop makes the call.

use super::Figures;
use crate::section::now;
use crate::subject::Subject;
use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Pause before each request, in which the loop begins to wait.
const PAUSE: Duration = Duration::from_micros(100);

/// Time of the last call.
static CALLED_AT: AtomicU64 = AtomicU64::new(0);
static WAKES: AtomicU64 = AtomicU64::new(0);

pub(super) fn run<S: Subject>(count: u64) -> Figures {
    let mut subject = S::new();
    let wake = subject.waker(|| {
        CALLED_AT.store(now(), Ordering::Relaxed);
        WAKES.fetch_add(1, Ordering::Release);
    });
    let thread = thread::spawn(move || {
        let mut latencies: Vec<u64> = (1..=count)
            .map(|number| {
                thread::sleep(PAUSE);
                let requested = now();
                wake();
                while WAKES.load(Ordering::Acquire) < number {
                    hint::spin_loop();
                }
                CALLED_AT.load(Ordering::Relaxed) - requested
            })
            .collect();
        latencies.sort_unstable();
        latencies[latencies.len() / 2]
    });
    while WAKES.load(Ordering::Relaxed) < count {
        subject.turn();
    }
    vec![("latency", thread.join().unwrap() as f64)]
}
