//! Handles on the descriptors 0, 1 and 2, in a separate process, because they replace those of the process.

#![cfg(not(loom))]

use eventry::{Backend, EventLoop, Events};
use rustix::io::dup;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};

/// Adds a handle on one of the three descriptors, which sends the number of the descriptor.
fn add<S: AsFd + Send + Sync + 'static>(event_loop: &EventLoop, source: S, called: Sender<i32>) {
    let added = event_loop
        .registry()
        .add_handle(source, Events::READABLE, move |event| {
            called.send(event.source.as_fd().as_raw_fd()).unwrap();
        });
    added.unwrap();
}

/// Replaces the three descriptors, and returns the other ends and copies of the earlier descriptors.
fn replace() -> ([UnixStream; 3], [OwnedFd; 3]) {
    let earlier = [dup(stdin()), dup(stdout()), dup(stderr())].map(Result::unwrap);
    let [input, output, errors] = [(); 3].map(|()| UnixStream::pair().unwrap());
    dup2_stdin(&input.0).unwrap();
    dup2_stdout(&output.0).unwrap();
    dup2_stderr(&errors.0).unwrap();
    ([input.1, output.1, errors.1], earlier)
}

fn restore([input, output, errors]: [OwnedFd; 3]) {
    dup2_stdin(input).unwrap();
    dup2_stdout(output).unwrap();
    dup2_stderr(errors).unwrap();
}

// EV-201, EV-1006: 0 is a descriptor like any other.
#[test]
fn handles_on_standard_descriptors_are_called() {
    for backend in [Backend::Epoll, Backend::Poll] {
        let (mut peers, earlier) = replace();
        let mut event_loop = EventLoop::builder().backend(backend).build().unwrap();
        let (sender, called) = channel();
        add(&event_loop, stdin(), sender.clone());
        add(&event_loop, stdout(), sender.clone());
        add(&event_loop, stderr(), sender);
        let mut calls = Vec::new();
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
            event_loop.run_once(None).unwrap();
            let mut turn: Vec<i32> = called.try_iter().collect();
            turn.sort_unstable();
            calls.push(turn);
        }
        drop(event_loop);
        // The loop has neither read from the descriptors nor closed them.
        for peer in &peers {
            peer.set_nonblocking(true).unwrap();
        }
        let still_open = peers.map(|mut peer| peer.read(&mut [0]).is_err());
        restore(earlier);
        assert_eq!(calls, [vec![0], vec![0, 1], vec![0, 1, 2]], "{backend:?}");
        assert_eq!(still_open, [true; 3], "{backend:?}");
    }
}
