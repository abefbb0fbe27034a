//! The longest wait of a test: one that would wait for ever fails instead, and says what it waited for.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock decides only how long a broken test hangs"
)]

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The time after which a wait fails. Never reached when the code is right.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until `condition` holds, which another thread or process brings about.
///
/// # Panics
///
/// After [`TIMEOUT`], with `what` in the message.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(
            Instant::now() < end,
            "waited {TIMEOUT:?} in vain until {what}"
        );
        thread::yield_now();
    }
}

/// Returns the result of `work`, which runs on a thread of its own, so that the test does not wait for a thread that
/// hangs.
///
/// # Panics
///
/// After [`TIMEOUT`], with `what` in the message; and when `work` does.
pub fn bounded<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    let worker = thread::spawn(move || {
        // It is dropped when the work ends, by a panic as well.
        let _tell: Sender<()> = tell;
        work()
    });
    let still_working = told.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout);
    assert!(!still_working, "{what} is not over after {TIMEOUT:?}");
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}
