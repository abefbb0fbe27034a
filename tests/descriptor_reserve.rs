//! Stale registrations of a process that has no free descriptor, in a separate process, because the limit applies to
//! the process.

#![cfg(not(loom))]

use eventry::{Backend, EventLoop, Events};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio::dup2_stdin;
use std::fs::File;
use std::io::{Write, stdin};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Maximum number of turns for one timeout; more turns mean that the loop spins.
const FEW: usize = 8;

/// Opens files until the process has no free descriptor.
fn fill() -> Vec<File> {
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(100),
            ..getrlimit(Resource::Nofile)
        },
    )
    .unwrap();
    let open = || File::open("/dev/null").ok();
    std::iter::from_fn(open).collect()
}

// EV-1003: the loop keeps a descriptor for a new epoll instance, and does so again after it was used.
#[test]
fn stale_registrations_end_without_a_free_descriptor() {
    let mut event_loop = EventLoop::builder()
        .backend(Backend::Epoll)
        .build()
        .unwrap();
    let registry = event_loop.registry();
    let other = UnixStream::pair().unwrap().0;
    let (near, mut far) = UnixStream::pair().unwrap();
    let pairs = [(); 3].map(|()| UnixStream::pair().unwrap());
    let (sender, served) = channel();
    registry
        .add_handle(near, Events::READABLE, move |_| sender.send(()).unwrap())
        .unwrap();
    let _files = fill();
    for (duplicate, mut peer) in pairs {
        dup2_stdin(&duplicate).unwrap();
        let id = registry
            .add_handle(stdin(), Events::READABLE, |_| {})
            .unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        // Epoll continues to report the file, whose number is another file when the handle is removed.
        dup2_stdin(&other).unwrap();
        let _ = registry.remove_handle(id).unwrap();
        peer.write_all(b"x").unwrap();

        let (sender, fired) = channel();
        let interval = Duration::from_millis(50);
        let timeout = registry
            .add_timeout(interval, move |_| sender.send(()).unwrap())
            .unwrap();
        let mut turns = 0;
        while fired.try_recv().is_err() {
            event_loop.run_once(None).unwrap();
            turns += 1;
        }
        let _ = registry.remove_timeout(timeout).unwrap();
        assert!(turns <= FEW, "{turns} turns for one timeout");
        // Keeps the duplicate open: closed, it would leave a free descriptor.
        std::mem::forget((duplicate, peer));
    }
    far.write_all(b"x").unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(served.try_iter().count(), 1);
}
