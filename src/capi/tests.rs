//! Tests that need a loop of their own: with few integer ids, closed, or dropped.

use super::*;
use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;

thread_local! {
    static SEEN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

fn seen() -> Vec<&'static str> {
    SEEN.take()
}

extern "C" fn called(_watch: c_int, _fd: c_int, _events: c_int, _opaque: *mut c_void) {
    SEEN.with_borrow_mut(|seen| seen.push("called"));
}

extern "C" fn freed(_opaque: *mut c_void) {
    SEEN.with_borrow_mut(|seen| seen.push("freed"));
}

fn opaque() -> Opaque {
    Opaque::new(ptr::null_mut(), Some(freed))
}

fn add(event_loop: &IntLoop, fd: c_int) -> Result<c_int, Errno> {
    add_handle(event_loop, fd, 2, called, opaque())
}

fn add_ticking(event_loop: &IntLoop) -> Result<c_int, Errno> {
    extern "C" fn ticked(_timer: c_int, _opaque: *mut c_void) {}
    add_timeout(event_loop, -1, ticked, opaque())
}

#[test]
fn ids_restart_at_one_and_skip_registered_ones() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let event_loop = IntLoop::new(8).unwrap();
    let fd = socket.as_raw_fd();
    assert_eq!(add(&event_loop, fd), Ok(1));
    for number in 2..=8 {
        assert_eq!(add_ticking(&event_loop), Ok(number));
    }
    for full in [add(&event_loop, fd), add_ticking(&event_loop)] {
        assert_eq!(full, Err(Errno::NOSPC));
    }
    assert_eq!(seen(), [""; 0]);
    assert_eq!(event_loop.remove::<TimeoutId>(5), Ok(Removal::Idle));
    assert_eq!(add(&event_loop, fd), Ok(5));
    assert_eq!(add(&event_loop, fd), Err(Errno::NOSPC));
    event_loop.run_once().unwrap();
    assert_eq!(seen(), ["freed", "called", "called"]);
}

#[test]
fn remove_and_wait_releases_the_id() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let event_loop = IntLoop::new(1).unwrap();
    assert_eq!(add(&event_loop, socket.as_raw_fd()), Ok(1));
    assert_eq!(event_loop.remove_and_wait::<HandleId>(1), Ok(()));
    assert_eq!(add_ticking(&event_loop), Ok(1));
    assert_eq!(event_loop.remove_and_wait::<TimeoutId>(1), Ok(()));
    assert_eq!(add_ticking(&event_loop), Ok(1));
}

#[test]
fn failed_add_calls_no_free_callback() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let event_loop = IntLoop::new(8).unwrap();
    assert_eq!(add(&event_loop, -1), Err(Errno::BADF));
    assert_eq!(add(&event_loop, c_int::MAX), Err(Errno::BADF));
    event_loop.close();
    assert_eq!(add(&event_loop, socket.as_raw_fd()), Err(Errno::SHUTDOWN));
    assert_eq!(add_ticking(&event_loop), Err(Errno::SHUTDOWN));
    assert_eq!(seen(), [""; 0]);
}

#[test]
fn drop_of_the_loop_frees_each_entry_once() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let event_loop = IntLoop::new(8).unwrap();
    add(&event_loop, socket.as_raw_fd()).unwrap();
    add_ticking(&event_loop).unwrap();
    drop(event_loop);
    assert_eq!(seen(), ["freed", "freed"]);
}

#[test]
fn negative_interval_disables_and_longest_is_in_the_future() {
    assert_eq!(interval_of(-1), None);
    assert_eq!(interval_of(c_int::MIN), None);
    assert_eq!(interval_of(0), Some(Duration::ZERO));
    let longest = Duration::from_millis(2_147_483_647);
    assert_eq!(interval_of(c_int::MAX), Some(longest));
}

#[test]
fn failure_returns_minus_one_and_sets_errno() {
    assert_eq!(errno::return_value(Ok(7)), 7);
    assert_eq!(errno::return_value(Err(Errno::NOSPC)), -1);
    assert_eq!(errno::last(), Errno::NOSPC);
    assert_eq!(errno::return_value(Err(Errno::BADF)), -1);
    assert_eq!(errno::last(), Errno::BADF);
}

#[test]
fn drop_of_the_loop_keeps_descriptors_of_callers_open() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let event_loop = IntLoop::new(8).unwrap();
    add(&event_loop, socket.as_raw_fd()).unwrap();
    drop(event_loop);
    assert!(rustix::io::fcntl_getfd(&socket).is_ok());
}

// tests/capi/cancel_cases.c shows what this is for.
#[cfg(not(target_os = "android"))]
#[test]
fn cancellation_is_disabled_inside_and_restored() {
    use cancel_state::{PTHREAD_CANCEL_DISABLE, set_cancel_state};
    let enabled = set_cancel_state(PTHREAD_CANCEL_DISABLE);
    assert_ne!(enabled, PTHREAD_CANCEL_DISABLE);
    drop(CancelDisabled::new());
    assert_eq!(set_cancel_state(enabled), PTHREAD_CANCEL_DISABLE);
    let inside = CancelDisabled::new();
    assert_eq!(
        set_cancel_state(PTHREAD_CANCEL_DISABLE),
        PTHREAD_CANCEL_DISABLE
    );
    drop(inside);
    assert_eq!(set_cancel_state(enabled), enabled);
}
