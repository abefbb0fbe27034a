//! The tests.

#![allow(unsafe_code, reason = "only `pre_exec` runs code in a forked child")]
#![allow(
    clippy::disallowed_types,
    reason = "parent and child have separate copies, which no model checker explores"
)]

use eventry::{EventLoop, Events, RunError};
use std::io::{self, Error, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Report of the child for success; no error number of a fork or an execution.
const RIGHT: i32 = 99;
/// Report of the child for failure.
const WRONG: i32 = 98;

/// Passes a copy of `owned` to `child` in a forked child; returns the report and the parent's copy.
fn in_a_child<T: Send + 'static>(owned: T, child: fn(T) -> i32) -> (Option<i32>, T) {
    let shared = Arc::new(Mutex::new(Some(owned)));
    let copied = Arc::clone(&shared);
    let run = move || -> io::Result<()> {
        let owned = copied.lock().unwrap().take();
        Err(Error::from_raw_os_error(owned.map_or(WRONG, child)))
    };
    let mut command = Command::new("/");
    // SAFETY: no other thread of this process holds a lock that the child needs: the only other thread, if any,
    // sleeps in its loop.
    unsafe { command.pre_exec(run) };
    let reported = command.spawn().unwrap_err().raw_os_error();
    let owned = shared.lock().unwrap().take();
    (reported, owned.expect("the child took a copy"))
}

fn a_run_in_the_child_is_refused() {
    let event_loop = EventLoop::new().unwrap();
    // The pending stop ends a run that is not refused.
    event_loop.stopper().stop();
    let (reported, mut event_loop) = in_a_child(event_loop, |mut event_loop| {
        let refused = matches!(event_loop.run(), Err(RunError::ForkedChild));
        if refused { RIGHT } else { WRONG }
    });
    assert_eq!(reported, Some(RIGHT), "the child must not run the loop");
    event_loop.run().unwrap();
}

fn a_loop_dropped_in_the_child_still_works_in_the_parent() {
    let mut event_loop = EventLoop::new().unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let (sender, received) = channel();
    event_loop
        .registry()
        .add_handle(near, Events::READABLE, move |_| sender.send(()).unwrap())
        .unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    let (reported, mut event_loop) = in_a_child(event_loop, |event_loop| {
        drop(event_loop);
        RIGHT
    });
    assert_eq!(reported, Some(RIGHT));
    far.write_all(b"x").unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(
        received.try_recv(),
        Ok(()),
        "the parent's registration was removed"
    );
}

// The child has no copy of the thread, so a wait for it would not end.
fn a_loops_thread_is_not_waited_for_in_the_child() {
    let thread = EventLoop::new().unwrap().spawn("events").unwrap();
    let (sender, received) = channel();
    thread
        .registry()
        .add_timeout(Duration::ZERO, move |event| {
            sender.send(()).unwrap();
            event.registry.update_timeout(event.id, None).unwrap();
        })
        .unwrap();
    received.recv().unwrap();
    let (reported, thread) = in_a_child(thread, |thread| {
        let refused = matches!(thread.join(), Err(RunError::ForkedChild));
        if refused { RIGHT } else { WRONG }
    });
    assert_eq!(reported, Some(RIGHT));
    thread.join().unwrap();
}

pub(crate) fn run() {
    a_run_in_the_child_is_refused();
    a_loop_dropped_in_the_child_still_works_in_the_parent();
    a_loops_thread_is_not_waited_for_in_the_child();
}
