//! Events with which a handle is called, as the kernel reports them.

use crate::support::{AT_ONCE, BACKENDS, E, H, R, W, log, on_each_backend, os_loop, streams};
use eventry::Events;
use rustix::pipe::pipe;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Returns the events with which a handle on `source` is called in `turns` turns.
///
/// # Panics
///
/// If the backends differ.
fn called_with(
    source: impl AsFd + Send + Sync + 'static,
    interest: Events,
    turns: usize,
) -> Vec<String> {
    let source = Arc::new(source);
    let [epoll, poll] = BACKENDS.map(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        registry
            .add_handle(Arc::clone(&source), interest, move |event| {
                log.record(format!("{:?}", event.events));
            })
            .unwrap();
        for _ in 0..turns {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        records.take()
    });
    assert_eq!(epoll, poll, "the backends differ");
    epoll
}

// EV-301
#[test]
fn bits_equal_those_of_libvirt() {
    assert_eq!([R, W, E, H].map(|event| event.bits()), [1, 2, 4, 8]);
    assert_eq!(Events::from_bits_truncate(15), R | W | E | H);
}

// EV-302, EV-303: the four cases measured on both of libvirt's loops.
#[test]
fn errors_and_hangups_are_delivered_without_a_request() {
    let reader_at_eof = || {
        let (reader, _) = pipe().unwrap();
        reader
    };
    let (_, writer_unread) = pipe().unwrap();
    assert_eq!(called_with(reader_at_eof(), R, 1), ["HANGUP"]);
    assert_eq!(called_with(writer_unread, W, 1), ["WRITABLE|ERROR"]);
    assert_eq!(called_with(reader_at_eof(), E, 1), ["HANGUP"]);
    assert_eq!(called_with(reader_at_eof(), H, 1), ["HANGUP"]);
}

// EV-304
#[test]
fn events_outside_the_interest_are_not_delivered() {
    let (near, mut far) = streams();
    far.write_all(b"unread").unwrap();
    assert_eq!(
        called_with(near.try_clone().unwrap(), E | H, 3),
        [""; 0],
        "data is pending, the interest is errors and hang-ups only"
    );
    assert_eq!(called_with(near, W, 1), ["WRITABLE"]);
}

// EV-305: RDHUP is not HUP, independent of its name in the backend.
#[test]
fn a_half_close_is_not_a_hangup() {
    let (near, far) = streams();
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(called_with(near.try_clone().unwrap(), R, 1), ["READABLE"]);
    assert_eq!(
        called_with(near.try_clone().unwrap(), R | W, 1),
        ["READABLE|WRITABLE"]
    );
    assert_eq!(called_with(near, H, 3), [""; 0]);
}

// EV-305
#[test]
fn full_close_is_a_hangup_with_the_data() {
    let (near, mut far) = streams();
    far.write_all(b"last words").unwrap();
    drop(far);
    assert_eq!(
        called_with(near.try_clone().unwrap(), R, 1),
        ["READABLE|HANGUP"]
    );
    assert_eq!(called_with(near, H, 1), ["HANGUP"]);
}

// EV-306
#[test]
fn interest_in_unknown_bits_alone_is_empty() {
    let (near, far) = streams();
    drop(far);
    for interest in [Events::from_bits_truncate(16), Events::from_bits_retain(16)] {
        let near = near.try_clone().unwrap();
        assert_eq!(called_with(near, interest, 3), [""; 0]);
    }
}

// EV-306
#[test]
fn update_to_unknown_bits_alone_disables() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (near, far) = streams();
        let (mut event_loop, registry) = os_loop(backend);
        let id = registry
            .add_handle(near, R, move |_| log.record("called"))
            .unwrap();
        drop(far);
        registry
            .update_handle(id, Events::from_bits_retain(16))
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), [""; 0]);
    });
}

// EV-307
#[test]
fn one_call_carries_all_events() {
    let (near, mut far) = streams();
    far.write_all(b"x").unwrap();
    assert_eq!(called_with(near, R | W, 1), ["READABLE|WRITABLE"]);
}

// EV-308
#[test]
fn a_condition_that_persists_is_delivered_in_every_turn() {
    let (near, _far) = streams();
    assert_eq!(called_with(near, W, 5), ["WRITABLE"; 5]);
}

// EV-308: an edge-triggered backend would report only the first byte.
#[test]
fn unread_data_calls_the_handle_again() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (near, mut far) = streams();
        far.write_all(b"ab").unwrap();
        let (mut event_loop, registry) = os_loop(backend);
        registry
            .add_handle(near, R, move |event| {
                let mut byte = [0];
                event.source.as_ref().read_exact(&mut byte).unwrap();
                log.record(char::from(byte[0]));
            })
            .unwrap();
        for _ in 0..4 {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(records.take(), ["a", "b"]);
    });
}

// EV-309
#[test]
fn unhandled_hangup_repeats_every_turn() {
    let (reader, _) = pipe().unwrap();
    assert_eq!(called_with(reader, R, 3), ["HANGUP"; 3]);
}
