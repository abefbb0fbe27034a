//! eventry inside another event loop, here a bare `poll(2)`.
//!
//! The outer loop waits for eventry's descriptor and timeout, and then runs a turn of eventry.

#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "it is what an example does")]

use eventry::{EventLoop, Events, Next};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut inner = EventLoop::new()?;
    let registry = inner.registry();

    // The inner loop has a timeout, and a handle that another thread adds while the outer loop waits.
    let mut ticks = 0;
    registry.add_timeout(Duration::from_millis(50), move |_| {
        ticks += 1;
        println!("inner: tick {ticks}");
        if ticks == 3 { Next::Remove } else { Next::Keep }
    })?;
    let (near, mut far) = UnixStream::pair()?;
    let other = registry.clone();
    let adder = thread::spawn(move || {
        let added = other.add_handle(near, Events::READABLE, |event| {
            let mut word = [0; 16];
            let got = event.source.as_ref().read(&mut word).unwrap_or(0);
            println!("inner: {:?}", String::from_utf8_lossy(&word[..got]));
            Next::Remove
        });
        added.expect("the loop accepts handles");
        far.write_all(b"from a thread").expect("the stream is open");
    });

    // The outer loop has a descriptor of its own.
    let (mut own, mut peer) = UnixStream::pair()?;
    peer.write_all(b"!")?;

    while !registry.is_idle() {
        // Required before every wait: passes changes to the kernel, and returns the longest allowed wait.
        let timeout = inner.prepare().map(Timespec::try_from).transpose()?;
        // The descriptor may change in a turn.
        let fd = inner.poll_fd().expect("epoll has a descriptor");
        let mut polled = [
            PollFd::new(&fd, PollFlags::IN),
            PollFd::from_borrowed_fd(own.as_fd(), PollFlags::IN),
        ];
        poll(&mut polled, timeout.as_ref())?;
        if polled[1].revents().contains(PollFlags::IN) {
            own.read_exact(&mut [0])?;
            println!("outer: its own event");
        }
        // Does not wait.
        inner.run_once(Some(Duration::ZERO))?;
    }
    adder.join().expect("the thread does not panic");
    Ok(())
}
