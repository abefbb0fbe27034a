//! The test.

use eventry::EventLoop;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGUSR1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// A wait that began anew at every signal would not end before the last of them.
const SIGNALS: usize = 2_000;
const BETWEEN_SIGNALS: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn signals_do_not_prolong_the_wait() {
    // A handler that does nothing worth mentioning, so that the wait is interrupted and the process lives.
    let noticed = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR1, Arc::clone(&noticed)).unwrap();
    let (fired, has_fired) = channel::<()>();
    let mut event_loop = EventLoop::new().unwrap();
    let stopper = event_loop.stopper();
    let stop_at_last = event_loop.stopper();
    let sender = thread::spawn(move || {
        for sent in 1..=SIGNALS {
            kill_process(getpid(), Signal::USR1).unwrap();
            match has_fired.recv_timeout(BETWEEN_SIGNALS) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return sent,
            }
        }
        stop_at_last.stop();
        SIGNALS
    });

    event_loop
        .registry()
        .add_timeout(INTERVAL, move |_| {
            fired.send(()).unwrap();
            stopper.stop();
        })
        .unwrap();
    event_loop.run().expect("a signal is no error of the wait");
    let sent = sender.join().unwrap();
    assert!(noticed.load(Ordering::Relaxed), "no signal came");
    assert!(
        sent < SIGNALS,
        "the timeout waited for the end of the signals"
    );
    let turns = event_loop.registry().stats().turns;
    assert!(turns > 2, "{turns} turns: no wait was interrupted");
}
