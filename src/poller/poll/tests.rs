//! Tests of the internals of the backend on `poll(2)`.

use super::*;
use crate::poller::clock::Clock;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;

const NO_WAIT: Option<Duration> = Some(Duration::ZERO);
const R: Events = Events::READABLE;
const W: Events = Events::WRITABLE;

/// Creates a poller, its registrar and its wake descriptor.
fn poller() -> (PollPoller, PollRegistrar, WakeFd) {
    let poller = PollPoller::new();
    let registrar = poller.registrar().clone();
    (poller, registrar, WakeFd::new().unwrap())
}

/// Creates a descriptor that is writable and not readable, with its token and its peer.
fn stream() -> (OsSource, Token, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let token = Token::new(near.as_raw_fd(), 1);
    (OsSource::new(near), token, far)
}

fn ready(poller: &PollPoller) -> Vec<(Token, Events)> {
    poller.ready().collect()
}

/// A source that sends a message when it is dropped.
struct DropProbe(Arc<UnixStream>, Sender<()>);

impl AsFd for DropProbe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for DropProbe {
    fn drop(&mut self) {
        let _ = self.1.send(());
    }
}

#[test]
fn wait_with_an_unchanged_table_reuses_its_storage() {
    let (mut poller, registrar, wake) = poller();
    let streams: Vec<_> = (0..50).map(|_| stream()).collect();
    for (source, token, _far) in &streams {
        registrar.register(source, *token, W);
    }
    poller.wait(&wake, NO_WAIT).unwrap();
    let storage = |poller: &PollPoller| {
        let polled = (poller.polled.as_ptr().addr(), poller.polled.capacity());
        (polled, poller.ready.as_ptr().addr())
    };
    let at_first = storage(&poller);
    assert!(poller.polled.capacity() > 50);
    for _ in 0..3 {
        poller.wait(&wake, NO_WAIT).unwrap();
        assert_eq!(ready(&poller).len(), 50);
        assert_eq!(storage(&poller), at_first);
    }
}

// EV-713: also if the descriptor becomes ready afterwards, during the same wait.
#[test]
fn deregister_during_a_wait_applies_to_that_wait() {
    let (mut poller, registrar, wake) = poller();
    let (source, token, far) = stream();
    registrar.register(&source, token, R);
    let waiter = thread::spawn(move || {
        poller.wait(&wake, None).unwrap();
        (poller, wake)
    });
    let clock = Clock::new();
    let deadline = clock.now().saturating_add(Duration::from_secs(30));
    while !registrar.0.lock().is_waiting {
        assert!(clock.now() < deadline, "the wait has not begun");
        thread::yield_now();
    }
    registrar.deregister(&source);
    drop(far);
    let (mut poller, wake) = waiter.join().unwrap();
    assert_eq!(ready(&poller), []);
    poller.wait(&wake, NO_WAIT).unwrap();
    assert_eq!(ready(&poller), []);
}

// EV-713: the kernel reports the descriptor, and its registration ends before the wait returns.
#[test]
fn deregister_after_the_system_call_applies_to_that_wait() {
    let (mut poller, registrar, wake) = poller();
    let (kept, kept_token, _far) = stream();
    let (ended, ended_token, _far) = stream();
    registrar.register(&kept, kept_token, W);
    registrar.register(&ended, ended_token, W);
    let registered = registrar.0.lock().begin_wait();
    poller.poll(&registered, &wake, NO_WAIT).unwrap();
    assert_eq!(ready(&poller).len(), 2);
    registrar.deregister(&ended);
    poller.finish_wait(registered);
    assert_eq!(ready(&poller), [(kept_token, W)]);
    poller.wait(&wake, NO_WAIT).unwrap();
    assert_eq!(ready(&poller), [(kept_token, W)]);
}

// EV-1002, as with epoll.
#[test]
fn second_registration_of_a_descriptor_replaces_the_first() {
    let (mut poller, registrar, wake) = poller();
    let (source, token, _far) = stream();
    let newer = Token::new(token.fd(), 2);
    registrar.register(&source, token, W);
    registrar.register(&source, newer, W);
    poller.wait(&wake, NO_WAIT).unwrap();
    assert_eq!(ready(&poller), [(newer, W)]);
}

// The drop of a source runs code of the user, and `deregister` is called with the registry's lock held.
#[test]
fn next_wait_drops_the_last_reference_to_a_source() {
    let (sender, dropped) = channel();
    let (mut poller, registrar, wake) = poller();
    // Two handles watch the descriptor. The one whose source was registered is freed.
    let (near, _far) = UnixStream::pair().unwrap();
    let near = Arc::new(near);
    let token = Token::new(near.as_raw_fd(), 1);
    let first = OsSource::new(DropProbe(Arc::clone(&near), sender));
    let second = OsSource::new(near);
    registrar.register(&first, token, R);
    drop(first);
    registrar.deregister(&second);
    assert!(!registrar.0.lock().contains(token));
    assert!(
        dropped.try_recv().is_err(),
        "the source was dropped under a lock"
    );
    poller.wait(&wake, NO_WAIT).unwrap();
    assert!(dropped.try_recv().is_ok());
}

// EV-713: the caller closes the descriptor with the last reference; a later wait does not.
#[test]
fn deregister_leaves_the_last_reference_to_the_caller() {
    let (_poller, registrar, _wake) = poller();
    let (sender, dropped) = channel();
    let (near, _far) = UnixStream::pair().unwrap();
    let near = Arc::new(near);
    let token = Token::new(near.as_raw_fd(), 1);
    let source = OsSource::new(DropProbe(near, sender));
    registrar.register(&source, token, R);
    registrar.deregister(&source);
    drop(source);
    assert!(dropped.try_recv().is_ok());
}

// EV-714: registries may outlive their loop, the descriptors must not.
#[test]
fn dropped_poller_drops_its_sources() {
    let (sender, dropped) = channel();
    let (poller, registrar, _wake) = poller();
    let (near, _far) = UnixStream::pair().unwrap();
    let source = OsSource::new(DropProbe(Arc::new(near), sender));
    registrar.register(&source, Token::new(source.fd(), 1), R);
    drop(source);
    drop(poller);
    assert!(dropped.try_recv().is_ok());
    let (late, token, _far) = stream();
    registrar.register(&late, token, R);
    assert!(!registrar.0.lock().contains(token));
}

// EV-806: the kernel rejects such a timeout.
#[test]
fn timeout_beyond_the_kernel_range_is_unlimited() {
    let (mut poller, _registrar, wake) = poller();
    wake.wake().unwrap();
    poller.wait(&wake, Some(Duration::MAX)).unwrap();
}

// EV-1006
#[test]
fn wake_descriptor_is_nonblocking_and_close_on_exec() {
    let wake = WakeFd::new().unwrap();
    assert!(fcntl_getfd(&wake).unwrap().contains(FdFlags::CLOEXEC));
    assert!(fcntl_getfl(&wake).unwrap().contains(OFlags::NONBLOCK));
}

// EV-903: a wake at the maximum of the eventfd's counter is no error.
#[test]
fn wake_with_a_full_counter_ends_the_wait() {
    let (mut poller, _registrar, wake) = poller();
    rustix::io::write(&wake, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    wake.wake().unwrap();
    poller.wait(&wake, None).unwrap();
    assert!(
        rustix::io::read(&wake, &mut [0; 8]).is_err(),
        "the counter was not reset"
    );
}
