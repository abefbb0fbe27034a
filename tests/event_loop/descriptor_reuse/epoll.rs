//! A descriptor that is closed while it has a handle, and whose open file a duplicate keeps open (EV-1003).
//!
//! Epoll continues to report the file under the closed number, and the registration cannot be removed.

use super::standard_input;
use crate::support::{AT_ONCE, LONG, R};
use eventry::{Backend, EventLoop, Events, HandleId};
use rustix::stdio::dup2_stdin;
use std::fs::{self, File};
use std::io::{Read, Write, stdin};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Maximum number of turns for one event; more turns mean that the loop spins.
const FEW: usize = 8;

/// Runs turns until a message is `received`; returns the number of turns.
fn turns_until(event_loop: &mut EventLoop, received: &Receiver<()>) -> usize {
    for turns in 1..=100 {
        event_loop.run_once(LONG).unwrap();
        if received.try_recv().is_ok() {
            return turns;
        }
    }
    panic!("no message in 100 turns: the loop spins");
}

/// Returns two files for one descriptor number, each with the peer that makes it readable.
fn two_pairs() -> [(UnixStream, UnixStream); 2] {
    [(); 2].map(|()| UnixStream::pair().unwrap())
}

/// Returns a loop with a handle on standard input, and the calls of that handle. Standard input was `first` when the
/// handle was registered, and `second` when it was updated.
fn updated_as(first: &UnixStream, second: &UnixStream) -> (EventLoop, HandleId, Receiver<()>) {
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (sender, called) = channel();
    dup2_stdin(first).unwrap();
    let id = registry
        .add_handle(stdin(), R, move |_| sender.send(()).unwrap())
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
        // Another handle and a wake from another thread must still work.
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let (sender, served) = channel();
        registry
            .add_handle(near.try_clone().unwrap(), R, move |_| {
                let _ = near.read(&mut [0; 8]);
                sender.send(()).unwrap();
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
        // Closed too early: epoll has registered number 0 with its earlier file, and the removal finds another file.
        dup2_stdin(&other).unwrap();
        let _ = registry.remove_handle(id).unwrap();
        writes.write_all(b"x").unwrap();

        let (sender, fired) = channel();
        let interval = Duration::from_millis(20);
        let timeout = registry.add_timeout(interval, move |_| sender.send(()).unwrap());
        let turns = turns_until(&mut event_loop, &fired);
        assert!(turns <= FEW, "{turns} turns for one timeout on {backend:?}");
        let _ = registry.remove_timeout(timeout.unwrap()).unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();

        far.write_all(b"x").unwrap();
        let turns = turns_until(&mut event_loop, &served);
        assert!(turns <= FEW, "{turns} turns for one event on {backend:?}");

        // The number can be registered again with its new file.
        let (sender, called) = channel();
        dup2_stdin(&duplicate).unwrap();
        let id = registry.add_handle(stdin(), R, move |_| sender.send(()).unwrap());
        let turns = turns_until(&mut event_loop, &called);
        assert!(turns <= FEW, "{turns} turns for one event on {backend:?}");
        let _ = registry.remove_handle(id.unwrap()).unwrap();

        let stopper = event_loop.stopper();
        let stops = std::thread::spawn(move || stopper.stop());
        event_loop.run().unwrap();
        stops.join().unwrap();
    }
}

// EV-1002: epoll already has the number, or no longer has it, when it is registered or changed.
#[test]
fn add_and_update_after_the_file_was_replaced() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let [(first, mut to_first), (second, mut to_second)] = two_pairs();

    // Removed while the number is another file, and added when it is the first file again: the old registration
    // still exists.
    dup2_stdin(&first).unwrap();
    let id = registry.add_handle(stdin(), R, |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    dup2_stdin(&second).unwrap();
    let _ = registry.remove_handle(id).unwrap();
    dup2_stdin(&first).unwrap();
    let (sender, called) = channel();
    let id = registry
        .add_handle(stdin(), R, move |event| {
            assert_eq!(
                event.events, R,
                "a refusal was reported instead of readiness"
            );
            sender.send(()).unwrap();
        })
        .unwrap();
    to_first.write_all(b"x").unwrap();
    assert!(turns_until(&mut event_loop, &called) <= FEW);

    // Updated while the number is another file, which is not registered with epoll.
    dup2_stdin(&second).unwrap();
    to_second.write_all(b"x").unwrap();
    registry.update_handle(id, R | Events::HANGUP).unwrap();
    assert!(turns_until(&mut event_loop, &called) <= FEW);
}

// EV-1002, EV-1003: epoll registers the new file, and continues to report the first one, which a duplicate keeps
// open and which belongs to no handle.
#[test]
fn update_after_replacing_the_file_drops_the_first_file() {
    let _alone = standard_input();
    let [(first, mut to_first), (second, mut to_second)] = two_pairs();
    let (mut event_loop, _id, called) = updated_as(&first, &second);
    to_first.write_all(b"x").unwrap();

    let (sender, fired) = channel();
    let interval = Duration::from_millis(20);
    event_loop
        .registry()
        .add_timeout(interval, move |_| sender.send(()).unwrap())
        .unwrap();
    let turns = turns_until(&mut event_loop, &fired);
    assert!(called.try_recv().is_err(), "called for the first file");
    assert!(turns <= FEW, "{turns} turns for one timeout");
    to_second.write_all(b"x").unwrap();
    assert!(turns_until(&mut event_loop, &called) <= FEW);
}

// EV-505, EV-1003: epoll has two files registered under the number for the handle. Only events of the last
// registration count.
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

// EV-1002, EV-1004: a file that cannot be polled is always ready, and a pollable one is not, independent of the
// file that the number was before.
#[test]
fn update_to_an_unpollable_file_is_always_ready() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (socket, _held) = UnixStream::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    let (sender, called) = channel();
    dup2_stdin(&socket).unwrap();
    let id = registry
        .add_handle(stdin(), R, move |event| sender.send(event.events).unwrap())
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
        // The first turn may report an event of the earlier file; the second one must not.
        called.try_iter().for_each(drop);
        event_loop.run_once(AT_ONCE).unwrap();
        let found: Vec<Events> = called.try_iter().collect();
        assert_eq!(found, vec![R; usize::from(is_file)], "{interest:?}");
    }
}

// EV-1003, EV-1004: an always-ready descriptor is in no epoll descriptor, and is kept when the poller is recreated.
#[test]
fn stale_entry_beside_an_unpollable_file_recreates_once() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (sender, called) = channel();
    registry
        .add_handle(File::open("/dev/null").unwrap(), R, move |_| {
            sender.send(()).unwrap();
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
        assert_eq!(now, polled, "recreated without a stale registration");
    }
    assert_eq!(called.try_iter().count(), FEW);
}

/// Returns the epoll descriptors of this process.
fn epoll_descriptors() -> Vec<RawFd> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    // Other tests open and close descriptors at the same time.
    let entries = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let target = fs::read_link(&path).ok()?;
        let is_epoll = target.as_os_str() == "anon_inode:[eventpoll]";
        is_epoll.then(|| path.file_name()?.to_str()?.parse().ok())?
    });
    entries.collect()
}

// EV-1003: no descriptor needs to be free. Several times, because other tests may have had a descriptor with the number
// of a new one.
#[test]
fn recreated_poller_uses_its_reserve() {
    let _alone = standard_input();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let polled = |event_loop: &EventLoop| event_loop.poll_fd().unwrap().as_raw_fd();
    for _ in 0..5 {
        let [(first, mut to_first), (second, _held)] = two_pairs();
        let before = polled(&event_loop);
        let open = epoll_descriptors();
        dup2_stdin(&first).unwrap();
        let id = registry.add_handle(stdin(), R, |_| {}).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        dup2_stdin(&second).unwrap();
        let _ = registry.remove_handle(id).unwrap();
        to_first.write_all(b"x").unwrap();
        for _ in 0..FEW {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_ne!(polled(&event_loop), before, "not recreated");
        assert!(open.contains(&polled(&event_loop)), "not the reserve");
    }
}
