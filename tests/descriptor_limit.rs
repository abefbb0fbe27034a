//! More watched descriptors than the process may have. In a process of its own, as the limit is the
//! process's.

#![cfg(not(loom))]

use eventry::{Backend, EventLoop, Events, RunError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::time::Duration;

const HANDLES: usize = 60;

/// Sets how many descriptors the process may have.
fn allow(descriptors: Option<u64>) {
    let limit = Rlimit {
        current: descriptors,
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

// EV-906, case AD: `poll(2)` takes no more descriptors than the limit. That is an error, not a loop that
// spins, and it ends when its cause does.
#[test]
fn more_handles_than_the_limit_is_an_error_with_poll_only() {
    let before = getrlimit(Resource::Nofile).current;
    for backend in [Backend::Epoll, Backend::Poll] {
        let (tell, told) = channel();
        let mut event_loop = EventLoop::builder().backend(backend).build().unwrap();
        let registry = event_loop.registry();
        let pairs = [(); HANDLES].map(|()| UnixStream::pair().unwrap());
        let _far = pairs.map(|(near, far)| {
            let tell = tell.clone();
            let added = registry.add_handle(near, Events::WRITABLE, move |_| {
                tell.send(()).unwrap();
            });
            added.unwrap();
            far
        });
        let mut called_in_a_turn = || {
            let result = event_loop.run_once(Some(Duration::ZERO));
            result.map(|()| told.try_iter().count())
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
        assert_eq!(called_in_a_turn().unwrap(), HANDLES, "afterwards");
    }
}
