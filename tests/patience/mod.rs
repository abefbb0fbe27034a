//! Ends tests that would wait for ever if the code were broken, and says what they waited for.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a broken test hangs is all the clock decides"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file has this as a module of its own and uses its part"
)]

use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits before it fails. Never reached when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds, which something else brings about.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            Instant::now() < end,
            "waited {PATIENCE:?} in vain until {what}"
        );
        thread::yield_now();
    }
}

/// What `work` returns. It runs on a thread of its own, so that it can be given up if it does not end.
pub fn bounded<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    let worker = thread::spawn(move || {
        // It is dropped at the end, however that comes.
        let _tell: std::sync::mpsc::Sender<()> = tell;
        work()
    });
    let still_working =
        told.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
    assert!(!still_working, "{what} is not over after {PATIENCE:?}");
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}
