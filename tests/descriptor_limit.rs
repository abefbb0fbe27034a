//! More registered descriptors than the process may have, in a separate process, because the limit applies to the
//! process.

#![cfg(not(loom))]

use eventry::{Backend, EventLoop, Events, RunError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::time::Duration;

const HANDLES: usize = 60;

/// Sets the limit of the process's descriptors.
fn allow(descriptors: Option<u64>) {
    let limit = Rlimit {
        current: descriptors,
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

// EV-906, case AD: `poll(2)` accepts no more descriptors than the limit. The wait fails instead of spinning, and
// succeeds again after the limit was raised.
#[test]
fn more_handles_than_the_limit_is_an_error_with_poll_only() {
    let before = getrlimit(Resource::Nofile).current;
    for backend in [Backend::Epoll, Backend::Poll] {
        let (sender, received) = channel();
        let mut event_loop = EventLoop::builder().backend(backend).build().unwrap();
        let registry = event_loop.registry();
        let pairs = [(); HANDLES].map(|()| UnixStream::pair().unwrap());
        let _far = pairs.map(|(near, far)| {
            let sender = sender.clone();
            let added = registry.add_handle(near, Events::WRITABLE, move |_| {
                sender.send(()).unwrap();
            });
            added.unwrap();
            far
        });
        let mut called_in_a_turn = || {
            let result = event_loop.run_once(Some(Duration::ZERO));
            result.map(|()| received.try_iter().count())
        };
        assert_eq!(called_in_a_turn().unwrap(), HANDLES);
        allow(Some(20));
        let with_the_limit = called_in_a_turn();
        allow(before);
        match backend {
            Backend::Poll => assert!(matches!(
                with_the_limit,
                Err(RunError::Wait(error)) if error.kind() == std::io::ErrorKind::InvalidInput
            )),
            _ => assert_eq!(with_the_limit.unwrap(), HANDLES),
        }
        assert_eq!(
            called_in_a_turn().unwrap(),
            HANDLES,
            "after the limit was raised"
        );
    }
}
