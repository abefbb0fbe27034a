//! The tests.

#![allow(unsafe_code, reason = "only `pre_exec` runs code in a forked child")]
#![allow(
    clippy::disallowed_types,
    reason = "parent and child have separate copies, which no model checker explores"
)]

use eventry::event_impl::{
    self, ImplError, RegisterError, Registered, RunDefaultError, register_default_impl,
    run_default_impl, stop_default_impl,
};
use eventry::{Backend, EventLoop, Events, Registry, RunError};
use rustix::event::{EventfdFlags, eventfd};
use std::io::{self, Error, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use test_support::timeout::{TIMEOUT, wait_until};

/// Report of the child for success; no error number of a fork or an execution.
const RIGHT: i32 = 99;
/// Report of the child for failure.
const WRONG: i32 = 98;
/// The number of children of a busy process on each backend.
const FORKS: usize = 100;

/// Passes a copy of `owned` to `child` in a forked child; returns the report and the parent's copy.
fn in_a_child<T: Send + 'static>(owned: T, child: fn(T) -> i32) -> (Option<i32>, T) {
    let shared = Arc::new(Mutex::new(Some(owned)));
    let copied = Arc::clone(&shared);
    let run = move || -> io::Result<()> {
        let owned = copied.lock().unwrap().take();
        Err(Error::from_raw_os_error(owned.map_or(WRONG, child)))
    };
    let mut command = Command::new("/");
    // SAFETY: no other thread of this process holds a lock that the child needs: other threads only use a loop, whose
    // lock the child does not take, and the memory allocator, which the C library keeps usable in a child.
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

/// Starts a program in a forked child, which has copies of the loop's descriptors until then.
fn execute() {
    let mut command = Command::new("true");
    // SAFETY: the function does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    assert!(command.status().unwrap().success());
}

/// Adds a handle and a timeout that are ready, and removes them after a call of each, until `is_over` is set.
fn add_and_remove(registry: &Registry, is_over: &AtomicBool) {
    let ready = Arc::new(eventfd(1, EventfdFlags::empty()).unwrap());
    while !is_over.load(Ordering::Relaxed) {
        let (sender, called) = channel();
        let of_timeout = sender.clone();
        let handle = registry.add_handle(Arc::clone(&ready), Events::READABLE, move |event| {
            event
                .registry
                .update_handle(event.id, Events::NONE)
                .unwrap();
            sender.send("handle").unwrap();
        });
        let timeout = registry.add_timeout(Duration::ZERO, move |event| {
            event.registry.update_timeout(event.id, None).unwrap();
            of_timeout.send("timeout").unwrap();
        });
        let calls = [(); 2].map(|()| called.recv_timeout(TIMEOUT));
        assert!(
            calls.contains(&Ok("handle")),
            "a handle was lost: {calls:?}"
        );
        assert!(
            calls.contains(&Ok("timeout")),
            "a timeout was lost: {calls:?}"
        );
        let _ = registry.remove_handle(handle.unwrap()).unwrap();
        let _ = registry.remove_timeout(timeout.unwrap()).unwrap();
    }
}

// EV-1105: half of the children execute a program, and the others end after they were refused.
fn forks_of_a_busy_process_lose_nothing() {
    for backend in [Backend::Epoll, Backend::Poll] {
        let event_loop = EventLoop::builder().backend(backend).build().unwrap();
        let registry = event_loop.registry();
        let (near, mut far) = UnixStream::pair().unwrap();
        let (sender, served) = channel();
        registry
            .add_handle(near, Events::READABLE, move |event| {
                let mut near: &UnixStream = event.source;
                near.read_exact(&mut [0]).unwrap();
                sender.send(()).unwrap();
            })
            .unwrap();
        let mut runner = event_loop.spawn("events").unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let changed = registry.clone();
        let changes = thread::spawn(move || add_and_remove(&changed, &ends));
        for number in 0..FORKS {
            far.write_all(b"x").unwrap();
            if number % 2 == 0 {
                execute();
            } else {
                let (reported, parents) = in_a_child(runner, |runner| {
                    let refused = matches!(runner.join(), Err(RunError::ForkedChild));
                    if refused { RIGHT } else { WRONG }
                });
                assert_eq!(reported, Some(RIGHT), "{backend:?}");
                runner = parents;
            }
            let event = served.recv_timeout(TIMEOUT);
            assert_eq!(event, Ok(()), "{backend:?}: an event was lost");
        }
        is_over.store(true, Ordering::Relaxed);
        changes.join().unwrap();
        wait_until("only the first handle is left", || {
            let stats = registry.stats();
            (stats.handles, stats.timeouts) == (1, 0)
        });
        runner.join().unwrap();
        assert_eq!(served.try_iter().count(), 0, "{backend:?}");
    }
}

/// Registers the default implementation for the first time and uses it once.
fn first_use_works() -> bool {
    let (sender, received) = channel();
    let registered = register_default_impl();
    let callback = Box::new(move |timer| {
        let _ = event_impl::remove_timeout(timer);
        let _ = sender.send(());
    });
    let added = event_impl::add_timeout(Some(Duration::ZERO), callback);
    matches!(registered, Ok(Registered::Now))
        && matches!(added, Ok(1))
        && run_default_impl().is_ok()
        && received.try_recv().is_ok()
}

// EV-1105: the first use in a child makes a loop of the child, and leaves the parent without one.
fn the_default_impl_may_be_used_first_in_the_child() {
    let (reported, ()) = in_a_child((), |()| if first_use_works() { RIGHT } else { WRONG });
    assert_eq!(reported, Some(RIGHT));
    let run = run_default_impl();
    assert!(matches!(run, Err(RunDefaultError::NotRegistered)));
    assert!(first_use_works());
}

// EV-1105
fn the_parents_default_impl_is_refused_in_the_child() {
    let (reported, ()) = in_a_child((), |()| {
        // Without a refusal, the run ends at once.
        stop_default_impl();
        event_impl::update_handle(1, Events::NONE);
        event_impl::update_timeout(1, None);
        let registered = matches!(register_default_impl(), Err(RegisterError::ForkedChild));
        let run = matches!(run_default_impl(), Err(RunDefaultError::ForkedChild));
        let added = event_impl::add_timeout(None, Box::new(|_| {}));
        let added = added.is_err_and(|error| matches!(error.reason, ImplError::ForkedChild));
        let removed = matches!(event_impl::remove_timeout(1), Err(ImplError::ForkedChild));
        let refused = registered && run && added && removed;
        if refused { RIGHT } else { WRONG }
    });
    assert_eq!(reported, Some(RIGHT));
    // The stop of the child was none of the parent's loop: this turn waits for the timeout.
    let (sender, received) = channel();
    let callback = Box::new(move |timer| {
        let _ = event_impl::remove_timeout(timer);
        sender.send(()).unwrap();
    });
    event_impl::add_timeout(Some(Duration::from_millis(5)), callback).unwrap();
    run_default_impl().unwrap();
    assert_eq!(received.try_recv(), Ok(()));
}

// EV-1105, EV-1204: after the first call in the parent, the C functions fail in the child.
#[cfg(feature = "capi")]
fn c_functions_are_refused_in_the_child() {
    use eventry::capi::{eventry_register, eventry_remove_timeout, eventry_stop};
    assert_eq!(eventry_register(), 1);
    let (reported, ()) = in_a_child((), |()| {
        let refused = || {
            Error::last_os_error().raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error())
        };
        let stopped = eventry_stop() == -1 && refused();
        let removed = eventry_remove_timeout(1) == -1 && refused();
        if stopped && removed { RIGHT } else { WRONG }
    });
    assert_eq!(reported, Some(RIGHT));
    assert_eq!(eventry_stop(), 0);
    run_default_impl().unwrap();
}

pub(crate) fn run() {
    // First, as the process may not have used the default implementation before.
    the_default_impl_may_be_used_first_in_the_child();
    the_parents_default_impl_is_refused_in_the_child();
    #[cfg(feature = "capi")]
    c_functions_are_refused_in_the_child();
    a_run_in_the_child_is_refused();
    a_loop_dropped_in_the_child_still_works_in_the_parent();
    a_loops_thread_is_not_waited_for_in_the_child();
    forks_of_a_busy_process_lose_nothing();
}
