//! Stops of a loop by a signal handler (EV-907).

#![cfg(not(loom))]
#![allow(unsafe_code, reason = "only unsafe code installs a signal handler")]
#![allow(
    clippy::disallowed_types,
    reason = "the lock serialises tests, which no model checker explores"
)]

use eventry::{Backend, EventLoop, Events, SignalStopper};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGUSR1;
use signal_hook::low_level::{raise, register};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const BACKENDS: [Backend; 2] = [Backend::Epoll, Backend::Poll];

fn new_loop(backend: Backend) -> EventLoop {
    EventLoop::builder().backend(backend).build().unwrap()
}

/// A handler of SIGUSR1 that stops the loop until the handler is dropped. One test at a time has a handler, because
/// signals are sent to the process.
struct Handler {
    id: signal_hook::SigId,
    _alone: MutexGuard<'static, ()>,
}

impl Handler {
    fn install(stopper: SignalStopper) -> Handler {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the handler only calls `stop`, which is async-signal-safe.
        let id = unsafe { register(SIGUSR1, move || stopper.stop()) }.unwrap();
        Handler { id, _alone: alone }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.id);
    }
}

// The signal arrives before the run, just before the wait, or during it.
#[test]
fn signal_stops_a_loop_before_or_during_the_wait() {
    for backend in BACKENDS {
        for _ in 0..200 {
            let mut event_loop = new_loop(backend);
            let handler = Handler::install(event_loop.signal_stopper());
            let sender = thread::spawn(|| kill_process(getpid(), Signal::USR1).unwrap());
            event_loop.run().unwrap();
            sender.join().unwrap();
            drop(handler);
        }
    }
}

// The handler runs on the loop's own thread during a turn, which is completed.
#[test]
fn a_signal_on_the_loops_thread_stops_it_after_its_turn() {
    for backend in BACKENDS {
        let mut event_loop = new_loop(backend);
        let handler = Handler::install(event_loop.signal_stopper());
        let registry = event_loop.registry();
        registry
            .add_timeout(Duration::ZERO, |_| raise(SIGUSR1).unwrap())
            .unwrap();
        event_loop.run().unwrap();
        assert_eq!(registry.stats().turns, 1);
        drop(handler);
    }
}

/// A stream that raises the signal when the registry asks for its descriptor, while the thread holds the lock.
struct Interrupted(UnixStream);

impl AsFd for Interrupted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        raise(SIGUSR1).unwrap();
        self.0.as_fd()
    }
}

#[test]
fn signal_stop_while_the_lock_is_held_does_not_block() {
    for backend in BACKENDS {
        let mut event_loop = new_loop(backend);
        let handler = Handler::install(event_loop.signal_stopper());
        let (near, _far) = UnixStream::pair().unwrap();
        let registry = event_loop.registry();
        registry
            .add_handle(Interrupted(near), Events::READABLE, |_| {})
            .unwrap();
        event_loop.run().unwrap();
        drop(event_loop);
        drop(handler);
    }
}
