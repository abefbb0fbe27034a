//! Waits with a timeout, after which a test fails and names the condition.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock limits only the time that a broken test hangs"
)]

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The time after which a wait fails. Correct code never reaches it.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until another thread or process makes `condition` true.
///
/// # Panics
///
/// After [`TIMEOUT`], with `what` in the message.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(
            Instant::now() < end,
            "timed out after {TIMEOUT:?} waiting until {what}"
        );
        thread::yield_now();
    }
}

/// Returns the result of `work`, which runs on a separate thread, so that a hang fails the test.
///
/// # Panics
///
/// After [`TIMEOUT`], with `what` in the message; and if `work` panics.
pub fn bounded<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (end_sender, ended) = channel();
    let worker = thread::spawn(move || {
        // The sender is dropped when the work returns or panics.
        let _end_sender: Sender<()> = end_sender;
        work()
    });
    let still_working = ended.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout);
    assert!(
        !still_working,
        "timed out after {TIMEOUT:?} waiting for {what}"
    );
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}
