//! A descriptor that is closed under its handle while a duplicate keeps the open file alive (EV-1003).
//!
//! Epoll goes on reporting the file under the number that was closed, and cannot be told to stop.

use super::standard_input;
use crate::support::{AT_ONCE, LONG, R};
use eventry::{Backend, EventLoop, Events, HandleId};
use rustix::stdio::dup2_stdin;
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// More turns than these for one thing to happen are a loop that spins.
const FEW: usize = 8;

/// Runs turns until something is `told`; returns how many it took.
fn turns_until(event_loop: &mut EventLoop, told: &Receiver<()>) -> usize {
    for turns in 1..=100 {
        event_loop.run_once(LONG).unwrap();
        if told.try_recv().is_ok() {
            return turns;
        }
    }
    panic!("nothing happened in 100 turns: the loop spins");
}

/// Two files for one number, and what makes each readable.
fn two_pairs() -> [(UnixStream, UnixStream); 2] {
    [(); 2].map(|()| UnixStream::pair().unwrap())
}

/// A loop with a handle on standard input that was told of it as `first`, and of a change of it as `second`; the
/// calls of that handle.
fn updated_as(first: &UnixStream, second: &UnixStream) -> (EventLoop, HandleId, Receiver<()>) {
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (tell, called) = channel();
    dup2_stdin(first).unwrap();
    let id = registry
        .add_handle(stdin(), R, move |_| tell.send(()).unwrap())
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    dup2_stdin(second).unwrap();
    registry.update_handle(id, R | Events::HANGUP).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    (event_loop, id, called)
}

#[test]
fn duplicate_of_a_closed_descriptor_does_not_spin() {
    let _alone = standard_input();
    for backend in [Backend::Epoll, Backend::Poll] {
        let mut event_loop = EventLoop::builder().backend(backend).build().unwrap();
        let registry = event_loop.registry();
        // Another handle and a wake from another thread must go on working.
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let (tell, served) = channel();
        registry
            .add_handle(near.try_clone().unwrap(), R, move |_| {
                let _ = near.read(&mut [0; 8]);
                tell.send(()).unwrap();
            })
            .unwrap();

        let (other, _held) = UnixStream::pair().unwrap();
        let (duplicate, mut writes) = UnixStream::pair().unwrap();
        dup2_stdin(&duplicate).unwrap();
        let id = registry
            .add_handle(stdin(), R, |event| {
                assert!(event.events.is_empty(), "called")
            })
            .unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        // Closed too early: epoll knows number 0 by the file it was, and the removal finds another one.
        dup2_stdin(&other).unwrap();
        let _ = registry.remove_handle(id).unwrap();
        writes.write_all(b"x").unwrap();

        let (tell, fired) = channel();
        let interval = Duration::from_millis(20);
        let timeout = registry.add_timeout(interval, move |_| tell.send(()).unwrap());
        let turns = turns_until(&mut event_loop, &fired);
        assert!(turns <= FEW, "{turns} turns for one timeout on {backend:?}");
        let _ = registry.remove_timeout(timeout.unwrap()).unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();

        far.write_all(b"x").unwrap();
        let turns = turns_until(&mut event_loop, &served);
        assert!(turns <= FEW, "{turns} turns for one event on {backend:?}");

        // The number can be watched again, under what it is now.
        let (tell, called) = channel();
        dup2_stdin(&duplicate).unwrap();
        let id = registry.add_handle(stdin(), R, move |_| tell.send(()).unwrap());
        let turns = turns_until(&mut event_loop, &called);
        assert!(turns <= FEW, "{turns} turns for one event on {backend:?}");
        let _ = registry.remove_handle(id.unwrap()).unwrap();

        let stopper = event_loop.stopper();
        let stops = std::thread::spawn(move || stopper.stop());
        event_loop.run().unwrap();
        stops.join().unwrap();
    }
}

// EV-1002: epoll knows the number already, or does not know it any more, when it is told of it.
#[test]
fn add_and_update_after_the_file_was_replaced() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let [(first, mut to_first), (second, mut to_second)] = two_pairs();

    // Removed while the number is another file, added again when it is the first file again: the old
    // registration is still there.
    dup2_stdin(&first).unwrap();
    let id = registry.add_handle(stdin(), R, |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    dup2_stdin(&second).unwrap();
    let _ = registry.remove_handle(id).unwrap();
    dup2_stdin(&first).unwrap();
    let (tell, called) = channel();
    let id = registry
        .add_handle(stdin(), R, move |event| {
            assert_eq!(event.events, R, "a refusal is no readiness");
            tell.send(()).unwrap();
        })
        .unwrap();
    to_first.write_all(b"x").unwrap();
    assert!(turns_until(&mut event_loop, &called) <= FEW);

    // Updated when the number is another file, which epoll does not know under it.
    dup2_stdin(&second).unwrap();
    to_second.write_all(b"x").unwrap();
    registry.update_handle(id, R | Events::HANGUP).unwrap();
    assert!(turns_until(&mut event_loop, &called) <= FEW);
}

// EV-1002, EV-1003: epoll is told of the new file, and goes on reporting the first one, which a duplicate keeps
// open. That one is nobody's any more.
#[test]
fn update_after_replacing_the_file_drops_the_first_file() {
    let _alone = standard_input();
    let [(first, mut to_first), (second, mut to_second)] = two_pairs();
    let (mut event_loop, _id, called) = updated_as(&first, &second);
    to_first.write_all(b"x").unwrap();

    let (tell, fired) = channel();
    let interval = Duration::from_millis(20);
    event_loop
        .registry()
        .add_timeout(interval, move |_| tell.send(()).unwrap())
        .unwrap();
    let turns = turns_until(&mut event_loop, &fired);
    assert!(called.try_recv().is_err(), "called for the first file");
    assert!(turns <= FEW, "{turns} turns for one timeout");
    to_second.write_all(b"x").unwrap();
    assert!(turns_until(&mut event_loop, &called) <= FEW);
}

// EV-505, EV-1003: epoll knows the number by two files now, and was told of both for the handle. Only what it was
// told last counts.
#[test]
fn updates_as_two_files_call_once_per_turn() {
    let _alone = standard_input();
    let [(first, mut to_first), (second, mut to_second)] = two_pairs();
    let (mut event_loop, id, called) = updated_as(&first, &second);
    dup2_stdin(&first).unwrap();
    event_loop.registry().update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();

    to_second.write_all(b"x").unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert!(called.try_recv().is_err(), "called for the second file");
    to_first.write_all(b"x").unwrap();
    for _ in 0..FEW {
        event_loop.run_once(AT_ONCE).unwrap();
        assert!(called.try_iter().count() <= 1, "called twice in a turn");
    }
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(called.try_iter().count(), 1);
}

// EV-1002, EV-1004: what cannot be polled is always ready, and what can be is not, whatever the number was before.
#[test]
fn update_to_an_unpollable_file_is_always_ready() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (socket, _held) = UnixStream::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    let (tell, called) = channel();
    dup2_stdin(&socket).unwrap();
    let id = registry
        .add_handle(stdin(), R, move |event| tell.send(event.events).unwrap())
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    for (interest, is_file) in [
        (R | Events::HANGUP, true),
        (R, true),
        (R | Events::HANGUP, false),
        (R, true),
        (R | Events::HANGUP, true),
    ] {
        if is_file {
            dup2_stdin(&file).unwrap();
        } else {
            dup2_stdin(&socket).unwrap();
        }
        registry.update_handle(id, interest).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        // What comes first may be an event of before; from now on nothing is left of that.
        called.try_iter().for_each(drop);
        event_loop.run_once(AT_ONCE).unwrap();
        let found: Vec<Events> = called.try_iter().collect();
        assert_eq!(found, vec![R; usize::from(is_file)], "{interest:?}");
    }
}

// EV-1003, EV-1004: what is always ready stands in no epoll descriptor, and moves to a new one like the others.
#[test]
fn stale_entry_beside_an_unpollable_file_rebuilds_once() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (tell, called) = channel();
    registry
        .add_handle(File::open("/dev/null").unwrap(), R, move |_| {
            tell.send(()).unwrap();
        })
        .unwrap();
    let [(first, mut to_first), (second, _held)] = two_pairs();
    dup2_stdin(&first).unwrap();
    let id = registry.add_handle(stdin(), R, |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    dup2_stdin(&second).unwrap();
    let _ = registry.remove_handle(id).unwrap();
    to_first.write_all(b"x").unwrap();
    for _ in 0..FEW {
        event_loop.run_once(AT_ONCE).unwrap();
    }

    let polled = event_loop.poll_fd().map(|fd| fd.as_raw_fd());
    called.try_iter().for_each(drop);
    for _ in 0..FEW {
        event_loop.run_once(AT_ONCE).unwrap();
        let now = event_loop.poll_fd().map(|fd| fd.as_raw_fd());
        assert_eq!(now, polled, "made anew although there is no phantom");
    }
    assert_eq!(called.try_iter().count(), FEW);
}
