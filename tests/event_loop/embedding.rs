//! A loop embedded in another loop.

use crate::support::{AT_ONCE, R, log, ms, streams};
use eventry::EventLoop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Write;
use std::thread;
use std::time::Duration;
use test_support::timeout::bounded;

/// Runs one turn of an outer loop that uses only the descriptor and the timeout of the inner one.
fn outer_turn(inner: &mut EventLoop) {
    let timeout = inner.prepare().map(Timespec::try_from);
    let timeout = timeout.transpose().unwrap();
    let fd = inner.poll_fd().unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()).unwrap();
    inner.run_once(AT_ONCE).unwrap();
}

#[test]
fn embedded_loop_is_driven_by_its_descriptor_and_deadline() {
    bounded("the test", || {
        let (log, records) = log();
        let mut inner = EventLoop::new().unwrap();
        let registry = inner.registry();
        let (near, mut far) = streams();
        let of_handle = log.clone();
        registry
            .add_handle(near, R, move |event| {
                of_handle.record("handle");
                let _ = event.registry.remove_handle(event.id).unwrap();
            })
            .unwrap();
        far.write_all(b"x").unwrap();
        while !registry.is_idle() {
            outer_turn(&mut inner);
        }
        registry
            .add_timeout(ms(1), move |event| {
                log.record("timeout");
                let _ = event.registry.remove_timeout(event.id).unwrap();
            })
            .unwrap();
        while !registry.is_idle() {
            outer_turn(&mut inner);
        }
        assert_eq!(records.take(), ["handle", "timeout"]);
    });
}

// EV-614, EV-902: a change of the inner loop wakes the sleeping outer loop.
#[test]
fn a_change_by_another_thread_ends_the_outer_wait() {
    bounded("the test", || {
        let mut inner = EventLoop::new().unwrap();
        let registry = inner.registry();
        assert_eq!(inner.prepare(), None);
        let other = registry.clone();
        let adder = thread::spawn(move || {
            other
                .add_timeout(Duration::ZERO, |event| {
                    let _ = event.registry.remove_timeout(event.id).unwrap();
                })
                .unwrap();
        });
        let fd = inner.poll_fd().unwrap();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
        adder.join().unwrap();
        inner.run_once(AT_ONCE).unwrap();
        while !registry.is_idle() {
            outer_turn(&mut inner);
        }
    });
}

// EV-1004: an always-ready descriptor does not make the poll descriptor ready; `prepare` returns zero instead.
#[test]
fn always_ready_handle_makes_prepare_return_zero() {
    bounded("the test", || {
        let mut inner = EventLoop::new().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        inner.registry().add_handle(file, R, |_| {}).unwrap();
        inner.prepare();
        assert_eq!(inner.prepare(), Some(Duration::ZERO));
    });
}
