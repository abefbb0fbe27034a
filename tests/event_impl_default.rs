//! The default event implementation of a process, in one test, because a process registers once.

#![cfg(not(loom))]

use eventry::event_impl::{
    self, AddHandleError, AddTimeoutError, AlreadyRegistered, EventImpl, HandleCallback, ImplError,
    Registered, RunDefaultError, SharedFd, TimeoutCallback,
};
use eventry::table::Removal;
use eventry::{Events, RunError};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use test_support::timeout::bounded;

/// Another implementation, which must not be called.
struct Late;

impl EventImpl for Late {
    fn add_handle(&self, _: SharedFd, _: Events, _: HandleCallback) -> Result<i32, AddHandleError> {
        unreachable!()
    }
    fn update_handle(&self, _: i32, _: Events) {
        unreachable!()
    }
    fn remove_handle(&self, _: i32) -> Result<Removal, ImplError> {
        unreachable!()
    }
    fn add_timeout(&self, _: Option<Duration>, _: TimeoutCallback) -> Result<i32, AddTimeoutError> {
        unreachable!()
    }
    fn update_timeout(&self, _: i32, _: Option<Duration>) {
        unreachable!()
    }
    fn remove_timeout(&self, _: i32) -> Result<Removal, ImplError> {
        unreachable!()
    }
}

/// Sends a message when it is dropped.
struct Freed(Sender<&'static str>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.send("freed").unwrap();
    }
}

fn socket_pair() -> (SharedFd, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    (Arc::new(near), far)
}

/// Without a registration adding and removing fail, and updating has no effect (EV-101). A refused addition returns its
/// arguments (EV-207).
fn before_a_registration() {
    let (source, _far) = socket_pair();
    let (sender, received) = mpsc::channel();
    let of_timeout = sender.clone();
    let callback = Box::new(move |watch, _| sender.send(watch).unwrap());
    let error = event_impl::add_handle(Arc::clone(&source), Events::ALL, callback).unwrap_err();
    assert!(matches!(error.reason, ImplError::NoImplementation));
    assert_eq!(
        error.to_string(),
        "cannot add: no event implementation is registered"
    );
    let (returned, mut callback) = error.into_parts();
    assert!(Arc::ptr_eq(&returned, &source));
    callback(7, Events::ALL);
    let callback = Box::new(move |timer| of_timeout.send(timer).unwrap());
    let mut error = event_impl::add_timeout(Some(Duration::ZERO), callback).unwrap_err();
    assert!(matches!(error.reason, ImplError::NoImplementation));
    (error.callback)(9);
    assert_eq!(received.try_iter().collect::<Vec<i32>>(), [7, 9]);
    event_impl::update_handle(1, Events::ALL);
    event_impl::update_timeout(1, None);
    for removed in [event_impl::remove_handle(1), event_impl::remove_timeout(1)] {
        assert!(matches!(removed, Err(ImplError::NoImplementation)));
    }
    event_impl::stop_default_impl();
    let run = event_impl::run_default_impl();
    assert!(matches!(run, Err(RunDefaultError::NotRegistered)));
}

/// One of several threads that register at once is the first, and there is one loop (EV-107).
fn registering_from_many_threads() {
    let barrier = Barrier::new(8);
    let firsts = AtomicU32::new(0);
    let numbers: Vec<i32> = thread::scope(|scope| {
        let register = || {
            barrier.wait();
            let registered = event_impl::register_default_impl().unwrap();
            firsts.fetch_add(u32::from(registered == Registered::Now), Ordering::Relaxed);
            event_impl::add_timeout(None, Box::new(|_| unreachable!())).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(register)).collect();
        let numbers = threads.into_iter().map(|thread| thread.join().unwrap());
        numbers.collect()
    });
    assert_eq!(firsts.into_inner(), 1);
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [1, 2, 3, 4, 5, 6, 7, 8],
        "the threads use several loops"
    );
    for number in numbers {
        assert_eq!(event_impl::remove_timeout(number).unwrap(), Removal::Idle);
    }
    let again = event_impl::register_default_impl().unwrap();
    assert_eq!(again, Registered::Before);
    // EV-102
    assert_eq!(event_impl::register_impl(Late), Err(AlreadyRegistered));
}

/// A callback that runs the loop is refused, and the turn continues (EV-511).
fn nested(seen: &Receiver<&'static str>, sender: &Sender<&'static str>) {
    let (source, mut far) = socket_pair();
    let freed = Freed(sender.clone());
    let watch = event_impl::add_handle(
        source,
        Events::READABLE,
        Box::new(move |watch, events| {
            assert_eq!(events, Events::READABLE);
            let nested = event_impl::run_default_impl();
            assert!(matches!(nested, Err(RunDefaultError::AlreadyRunning)));
            assert_eq!(event_impl::remove_handle(watch).unwrap(), Removal::InFlight);
            freed.0.send("called").unwrap();
        }),
    );
    far.write_all(b"x").unwrap();
    event_impl::run_default_impl().unwrap();
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["called", "freed"]);
    let again = event_impl::remove_handle(watch.unwrap());
    assert!(matches!(again, Err(ImplError::NotRegistered(_))));
}

/// A second thread that runs the loop is refused (EV-1101).
fn concurrent(seen: &Receiver<&'static str>, sender: &Sender<&'static str>) {
    let barrier = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&barrier);
    let freed = Freed(sender.clone());
    let callback: TimeoutCallback = Box::new(move |timer| {
        inside.wait();
        inside.wait();
        freed.0.send("called").unwrap();
        let removed = event_impl::remove_timeout(timer).unwrap();
        assert_eq!(removed, Removal::InFlight);
    });
    event_impl::add_timeout(Some(Duration::ZERO), callback).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| event_impl::run_default_impl().unwrap());
        barrier.wait();
        let second = event_impl::run_default_impl();
        assert!(matches!(second, Err(RunDefaultError::AlreadyRunning)));
        barrier.wait();
    });
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["called", "freed"]);
}

/// Callbacks that panic are removed and dropped once, and their numbers are no longer registered (EV-514).
fn a_panic(seen: &Receiver<&'static str>, sender: &Sender<&'static str>) {
    let freed = Freed(sender.clone());
    let callback: TimeoutCallback = Box::new(move |_| {
        freed.0.send("called").unwrap();
        panic!("on purpose")
    });
    let timer = event_impl::add_timeout(Some(Duration::ZERO), callback).unwrap();
    let (source, mut far) = socket_pair();
    let freed = Freed(sender.clone());
    let callback: HandleCallback = Box::new(move |_, _| {
        freed.0.send("called").unwrap();
        panic!("on purpose")
    });
    let watch = event_impl::add_handle(source, Events::READABLE, callback).unwrap();
    far.write_all(b"x").unwrap();
    let run = event_impl::run_default_impl();
    assert_eq!(panics_of(run), 2);
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen, ["called", "called", "freed", "freed"]);
    event_impl::update_timeout(timer, Some(Duration::ZERO));
    event_impl::update_handle(watch, Events::ALL);
    let removed = event_impl::remove_timeout(timer);
    assert!(matches!(removed, Err(ImplError::NotRegistered(_))));
    let removed = event_impl::remove_handle(watch);
    assert!(matches!(removed, Err(ImplError::NotRegistered(_))));
}

fn panics_of(run: Result<(), RunDefaultError>) -> usize {
    match run {
        Err(RunDefaultError::Run(RunError::CallbackPanicked(panics))) => panics.len(),
        other => panic!("no panic was reported: {other:?}"),
    }
}

/// A stop in the turn of a panic ends that turn, and not the next one (EV-907).
fn a_panic_and_a_stop(seen: &Receiver<&'static str>, sender: &Sender<&'static str>) {
    let callback: TimeoutCallback = Box::new(|_| {
        event_impl::stop_default_impl();
        panic!("on purpose")
    });
    event_impl::add_timeout(Some(Duration::ZERO), callback).unwrap();
    assert_eq!(panics_of(event_impl::run_default_impl()), 1);
    a_turn_waits(seen, sender);
}

/// A stop ends the next turn, and only that one (EV-907).
fn stopping(seen: &Receiver<&'static str>, sender: &Sender<&'static str>) {
    event_impl::stop_default_impl();
    event_impl::run_default_impl().unwrap();
    a_turn_waits(seen, sender);
}

fn a_turn_waits(seen: &Receiver<&'static str>, sender: &Sender<&'static str>) {
    let received = sender.clone();
    let callback: TimeoutCallback = Box::new(move |timer| {
        let removed = event_impl::remove_timeout(timer).unwrap();
        assert_eq!(removed, Removal::InFlight);
        received.send("called").unwrap();
    });
    event_impl::add_timeout(Some(Duration::from_millis(5)), callback).unwrap();
    // A stop that is still pending would end this turn before the timeout is due.
    event_impl::run_default_impl().unwrap();
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["called"]);
}

#[test]
fn default_impl_is_one_loop_run_by_one_thread() {
    bounded("the test", || {
        let (sender, seen) = mpsc::channel();
        before_a_registration();
        registering_from_many_threads();
        // This turn frees the removed entries; without the stop it would wait.
        event_impl::stop_default_impl();
        event_impl::run_default_impl().unwrap();
        nested(&seen, &sender);
        concurrent(&seen, &sender);
        a_panic(&seen, &sender);
        a_panic_and_a_stop(&seen, &sender);
        stopping(&seen, &sender);
    });
}
