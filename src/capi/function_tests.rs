//! The functions as C calls them, on the loop of the process. tests/capi has the cases of their behaviour.

use super::*;
use crate::registry;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;

/// The state of an entry: what its callbacks have seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    calls: u32,
    arguments: (c_int, c_int, c_int),
    frees: u32,
}

extern "C" fn on_handle(watch: c_int, fd: c_int, events: c_int, opaque: *mut c_void) {
    // SAFETY: the tests pass a `Seen` that outlives the entry.
    let seen = unsafe { &mut *opaque.cast::<Seen>() };
    seen.calls += 1;
    seen.arguments = (watch, fd, events);
}

extern "C" fn on_timeout(timer: c_int, opaque: *mut c_void) {
    on_handle(timer, -1, 0, opaque);
}

extern "C" fn on_stop(_timer: c_int, _opaque: *mut c_void) {
    eventry_stop();
}

extern "C" fn on_free(opaque: *mut c_void) {
    // SAFETY: the tests pass a `Seen` that outlives the entry.
    unsafe { (*opaque.cast::<Seen>()).frees += 1 };
}

fn add_handle(fd: c_int, events: c_int, seen: *mut Seen) -> c_int {
    // SAFETY: the tests remove the entry, and free it by a turn, while both live.
    unsafe { eventry_add_handle(fd, events, Some(on_handle), seen.cast(), Some(on_free)) }
}

fn add_timeout(milliseconds: c_int, seen: *mut Seen) -> c_int {
    // SAFETY: likewise.
    unsafe { eventry_add_timeout(milliseconds, Some(on_timeout), seen.cast(), Some(on_free)) }
}

fn stats() -> StatsRecord {
    let mut stats = StatsRecord::from(registry::Stats::default());
    // SAFETY: the record is writable.
    assert_eq!(unsafe { eventry_stats(&mut stats, size_of_val(&stats)) }, 0);
    stats
}

/// Runs a turn that does not wait.
fn turn() {
    assert_eq!(eventry_stop(), 0);
    assert_eq!(eventry_run_once(), 0);
}

fn failed(result: c_int) -> Errno {
    assert_eq!(result, -1);
    errno::last()
}

fn handles() {
    let mut seen = Seen::default();
    let seen: *mut Seen = &mut seen;
    // SAFETY: no callback runs meanwhile.
    let read = || unsafe { std::mem::take(&mut *seen) };
    let (near, mut far) = UnixStream::pair().unwrap();
    let fd = near.as_raw_fd();
    far.write_all(b"x").unwrap();

    let watch = add_handle(fd, 1, seen);
    assert!(watch > 0);
    turn();
    assert_eq!((read().arguments, stats().handles), ((watch, fd, 1), 1));
    eventry_update_handle(watch, 0);
    turn();
    assert_eq!(read().calls, 0);
    eventry_update_handle(watch, 2);
    turn();
    assert_eq!(read().arguments, (watch, fd, 2));
    assert_eq!(failed(eventry_remove_timeout(watch)), Errno::INVAL);
    assert_eq!(eventry_remove_handle(watch), 0);
    assert_eq!(failed(eventry_remove_handle(watch)), Errno::INVAL);
    assert_eq!(failed(eventry_remove_handle_status(watch)), Errno::INVAL);
    assert_eq!(failed(eventry_remove_handle_and_wait(watch)), Errno::INVAL);
    turn();
    assert_eq!(read().frees, 1);

    for remove in [eventry_remove_handle_status, eventry_remove_handle_and_wait] {
        assert_eq!(remove(add_handle(fd, 0, seen)), 0);
        turn();
        assert_eq!(read().frees, 1);
    }
    assert_eq!(failed(add_handle(-1, 1, seen)), Errno::BADF);
    assert_eq!(read().frees, 0);
}

fn timeouts() {
    let mut seen = Seen::default();
    let seen: *mut Seen = &mut seen;
    // SAFETY: no callback runs meanwhile.
    let read = || unsafe { std::mem::take(&mut *seen) };
    let timer = add_timeout(0, seen);
    turn();
    assert_eq!((read().arguments, stats().timeouts), ((timer, -1, 0), 1));
    eventry_update_timeout(timer, -1);
    turn();
    assert_eq!(read().calls, 0);
    assert_eq!(eventry_remove_timeout(timer), 0);
    assert_eq!(failed(eventry_remove_timeout(timer)), Errno::INVAL);
    assert_eq!(failed(eventry_remove_timeout_status(timer)), Errno::INVAL);
    assert_eq!(failed(eventry_remove_timeout_and_wait(timer)), Errno::INVAL);
    turn();
    assert_eq!(read().frees, 1);
    for remove in [
        eventry_remove_timeout_status,
        eventry_remove_timeout_and_wait,
    ] {
        assert_eq!(remove(add_timeout(-1, seen)), 0);
        turn();
        assert_eq!(read().frees, 1);
    }
    // SAFETY: without a callback, nothing is called.
    let added = unsafe { eventry_add_timeout(0, None, seen.cast(), Some(on_free)) };
    assert_eq!((failed(added), read().frees), (Errno::INVAL, 0));
}

/// The loop runs until a callback stops it, and a second run is refused meanwhile.
fn runs() {
    extern "C" fn on_nested(timer: c_int, _opaque: *mut c_void) {
        assert_eq!(failed(eventry_run_once()), Errno::BUSY);
        assert_eq!(
            failed(eventry_remove_timeout_and_wait(timer)),
            Errno::DEADLK
        );
        assert_eq!(eventry_remove_timeout_status(timer), 1);
    }
    let opaque = std::ptr::null_mut();
    let calls = stats().calls;
    // SAFETY: the callbacks do not use the pointer.
    let stops = unsafe {
        eventry_add_timeout(0, Some(on_nested), opaque, None);
        eventry_add_timeout(5, Some(on_stop), opaque, None)
    };
    assert_eq!(eventry_run(), 0);
    assert!(stats().calls >= calls + 2);
    assert_eq!(eventry_remove_timeout(stops), 0);
}

/// A stop by another thread ends a wait without events.
fn stops() {
    let (sender, received) = channel();
    let other = thread::spawn(move || {
        received.recv().unwrap();
        eventry_stop()
    });
    sender.send(()).unwrap();
    assert_eq!(eventry_run(), 0);
    assert_eq!(other.join().unwrap(), 0);
}

#[test]
fn functions_use_the_loop_of_the_process() {
    handles();
    timeouts();
    runs();
    stops();
    assert_eq!([eventry_register(), eventry_register()], [0, 1]);
    let stats = stats();
    assert_eq!((stats.handles, stats.timeouts), (0, 0));
    assert!(stats.turns > 0 && stats.calls > 0 && stats.frees > 0);
}

#[test]
fn version_has_three_digits_for_minor_and_patch() {
    assert_eq!(version_number("12", "345", "678"), 12_345_678);
    assert_eq!(version_number("1", "2", "3"), 1_002_003);
    let version = env!("CARGO_PKG_VERSION").split('.').map(str::parse);
    let version: Vec<c_uint> = version.map(Result::unwrap).collect();
    let number = version[0] * 1_000_000 + version[1] * 1_000 + version[2];
    assert_eq!(eventry_version(), number);
}

#[test]
fn error_of_the_loop_has_its_own_number() {
    let number = |error| run_status(Err(error));
    assert_eq!(number(RunDefaultError::NotRegistered), Err(Errno::INVAL));
    assert_eq!(number(RunDefaultError::AlreadyRunning), Err(Errno::BUSY));
    assert_eq!(number(RunDefaultError::ForkedChild), Err(Errno::PERM));
    let run = |error| number(RunDefaultError::Run(error));
    assert_eq!(run(RunError::ForkedChild), Err(Errno::PERM));
    let failed = |number: Errno| {
        errno::return_value(Err(number));
        io::Error::last_os_error()
    };
    assert_eq!(run(RunError::Wait(failed(Errno::NOSPC))), Err(Errno::NOSPC));
    assert_eq!(Errno::from(failed(Errno::BADF)), Errno::BADF);
    assert_eq!(Errno::from(io::Error::other("none")), Errno::IO);
    let not_added = |reason| errno_of_not_added((reason, ()));
    assert_eq!(not_added(Refused::IdsExhausted), Errno::NOSPC);
    assert_eq!(not_added(Refused::Closed), Errno::SHUTDOWN);
}
