//! Descriptors: who closes them, when the poller forgets them, and those that cannot be polled.

use crate::support::{
    AT_ONCE, E, H, LONG, R, W, log, ms, on_each_backend, os_loop, streams, timeout_that_notes,
};
use eventry::{EventLoop, Events};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

/// Whether some epoll descriptor of this process watches `fd`. The kernel shows this of epoll only: with
/// `poll(2)` it knows nothing between two waits.
fn is_watched(fd: RawFd) -> bool {
    let entries = fs::read_dir("/proc/self/fdinfo").unwrap();
    entries
        // Those of other tests come and go meanwhile.
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .any(|info| {
            let watched = info.lines().filter_map(|line| line.strip_prefix("tfd:"));
            watched
                .filter_map(|line| line.split_whitespace().next()?.parse().ok())
                .any(|watched: RawFd| watched == fd)
        })
}

// EV-713: the caller may close the descriptor before the callback is freed.
#[test]
fn remove_returns_after_deregistering_the_descriptor() {
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (near, _far) = streams();
    let fd = near.as_raw_fd();
    let near = Arc::new(near);
    let first = registry.add_handle(Arc::clone(&near), R, |_| {}).unwrap();
    let second = registry.add_handle(Arc::clone(&near), R, |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert!(is_watched(fd));
    let _ = registry.remove_handle(first).unwrap();
    assert!(is_watched(fd), "the second handle is left");
    let _ = registry.remove_handle(second).unwrap();
    assert!(!is_watched(fd));
}

// EV-401: a disabled descriptor is unknown to the poller as well, from the next sleep on.
#[test]
fn disabled_descriptor_is_deregistered_before_the_sleep() {
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (near, _far) = streams();
    let fd = near.as_raw_fd();
    let id = registry.add_handle(near, R, |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert!(is_watched(fd));
    registry.update_handle(id, Events::NONE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert!(!is_watched(fd));
}

// EV-713, EV-1006: open while it is registered or called, closed when the callback is freed, and not
// closed at all if the caller kept a share.
#[test]
fn a_descriptor_is_closed_when_its_callback_is_freed() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        let (near, mut far) = streams();
        let (kept, mut far_of_kept) = streams();
        let kept = Arc::new(kept);
        let ids = [
            registry.add_handle(near, R, |_| {}).unwrap(),
            registry.add_handle(Arc::clone(&kept), R, |_| {}).unwrap(),
        ];
        for id in ids {
            let _ = registry.remove_handle(id).unwrap();
        }
        let is_open = |result: std::io::Result<usize>| match result {
            Ok(0) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            other => panic!("{other:?}"),
        };
        assert!(is_open(far.read(&mut [0])), "closed by the removal");
        event_loop.run_once(AT_ONCE).unwrap();
        assert!(!is_open(far.read(&mut [0])));
        assert!(is_open(far_of_kept.read(&mut [0])));
    });
}

/// Descriptors that epoll refuses with EPERM.
fn unpollable() -> Vec<(&'static str, File)> {
    let null = File::options().read(true).write(true).open("/dev/null");
    vec![
        ("a regular file", tempfile::tempfile().unwrap()),
        ("a directory", File::open("/").unwrap()),
        ("/dev/null", null.unwrap()),
    ]
}

// EV-1004, case W
#[test]
fn a_descriptor_that_cannot_be_polled_is_always_ready() {
    on_each_backend(|backend| {
        for (kind, file) in unpollable() {
            let (log, heard) = log();
            let (mut event_loop, registry) = os_loop(backend);
            let file = Arc::new(file);
            let handles = [("R|W", R | W), ("W", W), ("E|H", E | H)].map(|(name, interest)| {
                let log = log.clone();
                let added = registry.add_handle(Arc::clone(&file), interest, move |event| {
                    log.note(format!("{name}: {:?}", event.events));
                });
                added.unwrap()
            });
            for _ in 0..3 {
                // It keeps the wait from blocking.
                event_loop.run_once(LONG).unwrap();
                assert_eq!(
                    heard.take(),
                    ["R|W: READABLE|WRITABLE", "W: WRITABLE"],
                    "{kind}"
                );
            }
            registry.update_handle(handles[0], R).unwrap();
            let _ = registry.remove_handle(handles[1]).unwrap();
            event_loop.run_once(LONG).unwrap();
            assert_eq!(heard.take(), ["R|W: READABLE"], "{kind}");
        }
    });
}

// EV-908, EV-1004: it is no reason not to sleep once nobody wants to read or write it.
#[test]
fn unpollable_descriptor_does_not_spin_an_idle_loop() {
    on_each_backend(|backend| {
        for (kind, file) in unpollable() {
            let (log, heard) = log();
            let (mut event_loop, registry) = os_loop(backend);
            let file = Arc::new(file);
            let interests = [R, Events::NONE, R | W, E | H];
            let handles =
                interests.map(|interest| registry.add_handle(Arc::clone(&file), interest, |_| {}));
            let [disabled, _, removed, _] = handles.map(Result::unwrap);
            event_loop.run_once(LONG).unwrap();
            registry.update_handle(disabled, Events::NONE).unwrap();
            let _ = registry.remove_handle(removed).unwrap();
            timeout_that_notes(&registry, &log, ms(30), "fired");
            let (_, turns) = heard.next(&mut event_loop);
            assert!(turns <= 5, "{kind}: {turns} turns for one timeout");
        }
    });
}

// EV-614, EV-1004: added while the loop sleeps.
#[test]
fn a_regular_file_added_by_another_thread_ends_the_sleep() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        let stopper = event_loop.stopper();
        let other = std::thread::spawn(move || {
            let file = tempfile::tempfile().unwrap();
            registry
                .add_handle(file, R, move |_| stopper.stop())
                .unwrap();
        });
        event_loop.run().unwrap();
        other.join().unwrap();
    });
}

// EV-1007
#[test]
fn duplicates_of_a_descriptor_are_independent() {
    on_each_backend(|backend| {
        let (log, heard) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, _far) = streams();
        let duplicate = near.as_fd().try_clone_to_owned().unwrap();
        let (first, second) = (log.clone(), log);
        let id = registry
            .add_handle(near, W, move |_| first.note("first"))
            .unwrap();
        registry
            .add_handle(duplicate, W, move |_| second.note("second"))
            .unwrap();
        let _ = registry.remove_handle(id).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), ["second"]);
    });
}
