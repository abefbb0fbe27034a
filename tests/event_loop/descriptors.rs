//! Closing and deregistration of descriptors, and descriptors that cannot be polled.

use crate::descriptor_reuse::standard_input;
use crate::support::{
    AT_ONCE, E, H, LONG, R, W, add_recording_timeout, log, ms, on_each_backend, os_loop, streams,
};
use eventry::{EventLoop, Events};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Returns true if some epoll descriptor of this process watches `fd`. Only epoll shows this; `poll(2)` keeps no
/// state between waits.
fn is_watched(fd: RawFd) -> bool {
    let entries = fs::read_dir("/proc/self/fdinfo").unwrap();
    entries
        // Other tests open and close descriptors at the same time.
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
    assert!(
        is_watched(fd),
        "the descriptor was deregistered despite the second handle"
    );
    let _ = registry.remove_handle(second).unwrap();
    assert!(!is_watched(fd));
}

// EV-401: a disabled descriptor is deregistered when the loop next sleeps.
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

// EV-713, EV-1006: the descriptor stays open while it is registered or called. It is closed when the callback is
// freed, unless the caller kept a reference.
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
        assert!(
            is_open(far.read(&mut [0])),
            "the removal closed the descriptor"
        );
        event_loop.run_once(AT_ONCE).unwrap();
        assert!(!is_open(far.read(&mut [0])));
        assert!(is_open(far_of_kept.read(&mut [0])));
    });
}

/// Returns descriptors that epoll refuses with EPERM.
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
            let (log, records) = log();
            let (mut event_loop, registry) = os_loop(backend);
            let file = Arc::new(file);
            let handles = [("R|W", R | W), ("W", W), ("E|H", E | H)].map(|(name, interest)| {
                let log = log.clone();
                let added = registry.add_handle(Arc::clone(&file), interest, move |event| {
                    log.record(format!("{name}: {:?}", event.events));
                });
                added.unwrap()
            });
            for _ in 0..3 {
                // An always-ready descriptor makes the wait return at once.
                event_loop.run_once(LONG).unwrap();
                assert_eq!(
                    records.take(),
                    ["R|W: READABLE|WRITABLE", "W: WRITABLE"],
                    "{kind}"
                );
            }
            registry.update_handle(handles[0], R).unwrap();
            let _ = registry.remove_handle(handles[1]).unwrap();
            event_loop.run_once(LONG).unwrap();
            assert_eq!(records.take(), ["R|W: READABLE"], "{kind}");
        }
    });
}

// EV-908, EV-1004: the loop sleeps if no handle has an interest in reading or writing the descriptor.
#[test]
fn unpollable_descriptor_does_not_spin_an_idle_loop() {
    on_each_backend(|backend| {
        for (kind, file) in unpollable() {
            let (log, records) = log();
            let (mut event_loop, registry) = os_loop(backend);
            let file = Arc::new(file);
            let interests = [R, Events::NONE, R | W, E | H];
            let handles =
                interests.map(|interest| registry.add_handle(Arc::clone(&file), interest, |_| {}));
            let [disabled, _, removed, _] = handles.map(Result::unwrap);
            event_loop.run_once(LONG).unwrap();
            registry.update_handle(disabled, Events::NONE).unwrap();
            let _ = registry.remove_handle(removed).unwrap();
            add_recording_timeout(&registry, &log, ms(30), "fired");
            let (_, turns) = records.next(&mut event_loop);
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
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, _far) = streams();
        let duplicate = near.as_fd().try_clone_to_owned().unwrap();
        let (first, second) = (log.clone(), log);
        let id = registry
            .add_handle(near, W, move |_| first.record("first"))
            .unwrap();
        registry
            .add_handle(duplicate, W, move |_| second.record("second"))
            .unwrap();
        let _ = registry.remove_handle(id).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["second"]);
    });
}

// EV-302: a process descriptor is readable when its process has ended.
#[test]
fn process_descriptor_is_readable_after_the_exit() {
    let _alone = standard_input();
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        registry
            .add_handle(process, R, move |event| {
                log.record(format!("{:?}", event.events));
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), [""; 0]);
        drop(child.stdin.take());
        let (found, _) = records.next(&mut event_loop);
        assert_eq!(found, ["READABLE"]);
        child.wait().unwrap();
    });
}
