//! Test of a wait that many signals interrupt.

use eventry::EventLoop;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGUSR1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Number of signals. A wait that each signal restarts would not end before the last one.
const SIGNALS: usize = 2_000;
const BETWEEN_SIGNALS: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn signals_do_not_prolong_the_wait() {
    // Without a handler the signal would end the process.
    let signalled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR1, Arc::clone(&signalled)).unwrap();
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
    event_loop.run().expect("a signal does not fail the wait");
    let sent = sender.join().unwrap();
    assert!(signalled.load(Ordering::Relaxed), "no signal arrived");
    assert!(
        sent < SIGNALS,
        "the timeout did not fire before the last signal"
    );
    let turns = event_loop.registry().stats().turns;
    assert!(turns > 2, "{turns} turns: no wait was interrupted");
}
