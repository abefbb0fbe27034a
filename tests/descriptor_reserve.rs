//! Stale registrations of a process that has no free descriptor, in a separate process, because the limit applies to
//! the process.

#![cfg(not(loom))]
#![allow(
    clippy::disallowed_types,
    reason = "the lock is for tests, which no model checker explores"
)]

use eventry::{Backend, EventLoop, Events};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio::dup2_stdin;
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use test_support::timeout::TIMEOUT;

/// Maximum number of turns for one timeout; more turns mean that the loop spins.
const FEW: usize = 8;
/// Maximum number of turns for one timeout while the poller cannot be recreated.
const BOUNDED: usize = 40;
const LIMIT: i32 = 100;
const INTERVAL: Duration = Duration::from_millis(50);

/// Held by the test that runs: the standard input and the limit belong to the process.
static RUNNING: Mutex<()> = Mutex::new(());

/// Waits until no other test runs, and sets the limit.
fn begin() -> MutexGuard<'static, ()> {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    limit_descriptors(LIMIT);
    running
}

/// Limits the numbers of the process's new descriptors to those below `limit`.
fn limit_descriptors(limit: i32) {
    let limits = Rlimit {
        current: Some(limit.try_into().unwrap()),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limits).unwrap();
}

/// Opens files until the process has no free descriptor.
fn fill() -> Vec<File> {
    let open = || File::open("/dev/null").ok();
    std::iter::from_fn(open).collect()
}

/// Makes a registration stale: removes a handle of a file that `duplicate` keeps open, after its number, 0, became
/// `other`. Epoll continues to report the file, which is then made ready.
fn make_stale(
    event_loop: &mut EventLoop,
    other: &UnixStream,
    (duplicate, peer): &mut (UnixStream, UnixStream),
) {
    let registry = event_loop.registry();
    dup2_stdin(duplicate).unwrap();
    let id = registry
        .add_handle(stdin(), Events::READABLE, |_| {})
        .unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    dup2_stdin(other).unwrap();
    let _ = registry.remove_handle(id).unwrap();
    peer.write_all(b"x").unwrap();
}

/// Returns the number of turns until a timeout is called.
fn turns_until_timeout(event_loop: &mut EventLoop, turn: fn(&mut EventLoop)) -> usize {
    let registry = event_loop.registry();
    let (sender, fired) = channel();
    let timeout = registry
        .add_timeout(INTERVAL, move |_| sender.send(()).unwrap())
        .unwrap();
    let mut turns = 0;
    while fired.try_recv().is_err() {
        turn(event_loop);
        turns += 1;
    }
    let _ = registry.remove_timeout(timeout).unwrap();
    turns
}

fn run_turn(event_loop: &mut EventLoop) {
    event_loop.run_once(None).unwrap();
}

/// Runs a turn as in another loop, which waits by `poll(2)`.
fn run_embedded_turn(event_loop: &mut EventLoop) {
    let limit = event_loop.prepare();
    let poll_fd = event_loop.poll_fd().unwrap();
    let timeout = Timespec::try_from(limit.unwrap_or(TIMEOUT)).unwrap();
    let ready = poll(&mut [PollFd::new(&poll_fd, PollFlags::IN)], Some(&timeout)).unwrap();
    assert!(ready > 0 || limit.is_some(), "no turn for {TIMEOUT:?}");
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
}

/// Creates a loop on epoll with a handle; returns it with a receiver of the calls and the other end of the socket.
fn loop_with_near() -> (EventLoop, Receiver<()>, UnixStream) {
    let builder = EventLoop::builder().backend(Backend::Epoll);
    let event_loop = builder.build().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let (sender, served) = channel();
    event_loop
        .registry()
        .add_handle(near, Events::READABLE, move |event| {
            let mut near: &UnixStream = event.source;
            near.read_exact(&mut [0]).unwrap();
            sender.send(()).unwrap();
        })
        .unwrap();
    (event_loop, served, far)
}

// EV-1003: the loop keeps a descriptor for a new epoll instance, and does so again after it was used.
#[test]
fn stale_registrations_end_without_a_free_descriptor() {
    let _running = begin();
    let (mut event_loop, served, mut far) = loop_with_near();
    let other = UnixStream::pair().unwrap().0;
    let mut pairs = [(); 3].map(|()| UnixStream::pair().unwrap());
    let _files = fill();
    // A pair stays open: closed, it would leave a free descriptor.
    for pair in &mut pairs {
        make_stale(&mut event_loop, &other, pair);
        let turns = turns_until_timeout(&mut event_loop, run_turn);
        assert!(turns <= FEW, "{turns} turns for one timeout");
    }
    far.write_all(b"x").unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(served.try_iter().count(), 1);
}

// EV-1003: another part of the process has taken the descriptor for the reserve. The loop cannot end the
// registration, but sleeps most of the time, and continues to make its calls.
#[test]
fn stale_registration_without_a_reserve_does_not_spin() {
    let _running = begin();
    let (mut event_loop, served, mut far) = loop_with_near();
    let other = UnixStream::pair().unwrap().0;
    let mut pairs = [(); 3].map(|()| UnixStream::pair().unwrap());
    let _files = fill();
    let [first, second, third] = &mut pairs;

    make_stale(&mut event_loop, &other, first);
    turns_until_timeout(&mut event_loop, run_turn);
    // The next replacement closes this number, which the limit then excludes, so that the reserve stays empty.
    let freed = event_loop.poll_fd().unwrap().as_raw_fd();
    limit_descriptors(freed);
    make_stale(&mut event_loop, &other, second);
    let turns = turns_until_timeout(&mut event_loop, run_turn);
    assert!(turns <= FEW, "{turns} turns for one timeout");
    assert_ne!(event_loop.poll_fd().unwrap().as_raw_fd(), freed);

    make_stale(&mut event_loop, &other, third);
    for turn in [run_turn, run_embedded_turn] {
        far.write_all(b"x").unwrap();
        let turns = turns_until_timeout(&mut event_loop, turn);
        assert!(turns <= BOUNDED, "{turns} turns for one timeout");
        assert_eq!(served.try_iter().count(), 1);
        // Without a timeout, the pauses end by themselves.
        for _ in 0..FEW {
            far.write_all(b"x").unwrap();
            let turns = (1..).find(|_| {
                turn(&mut event_loop);
                served.try_recv().is_ok()
            });
            assert!(turns <= Some(FEW), "{turns:?} turns for a ready handle");
        }
    }
    // The number is free again, so the registration ends.
    limit_descriptors(LIMIT);
    turns_until_timeout(&mut event_loop, run_turn);
    let turns = turns_until_timeout(&mut event_loop, run_turn);
    assert!(turns <= FEW, "{turns} turns for one timeout");
}

// EV-1003: with this limit no descriptor can be replaced, and `poll(2)` accepts none.
#[test]
fn stale_registration_with_a_limit_of_0_does_not_spin() {
    let _running = begin();
    let (mut event_loop, served, mut far) = loop_with_near();
    let other = UnixStream::pair().unwrap().0;
    let mut pair = UnixStream::pair().unwrap();
    make_stale(&mut event_loop, &other, &mut pair);
    limit_descriptors(0);
    far.write_all(b"x").unwrap();
    let turns = turns_until_timeout(&mut event_loop, run_turn);
    limit_descriptors(LIMIT);
    assert!(turns <= BOUNDED, "{turns} turns for one timeout");
    assert_eq!(served.try_iter().count(), 1);
}
