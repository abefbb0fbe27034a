//! The calls of one turn: their order and number.

use crate::support::{
    AT_ONCE, PollerCall, R, W, add_recording_handle, add_recording_timeout, log, model_loop, ms,
    on_each_backend, os_loop, probe_loop, streams,
};
use eventry::poller::model::ModelSource;
use eventry::{EventLoop, Events};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

// EV-501: pending frees, the wait, due timeouts, ready handles, frees.
#[test]
fn a_turn_has_its_phases_in_order() {
    let (log, records) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    let freed_first = log.on_drop("free removed before");
    let before = registry
        .add_timeout(ms(1), move |_| freed_first.keep())
        .unwrap();
    let _ = registry.remove_timeout(before).unwrap();

    let waiting = log.clone();
    probe.during_a_wait(move || waiting.record("wait"));
    probe.model.set_ready(3, R);
    let (handle, freed_last) = (log.clone(), log.on_drop("free removed during"));
    registry
        .add_source(ModelSource(3), R, move |event| {
            freed_last.keep();
            handle.record("handle");
            let _ = event.registry.remove_handle(event.id).unwrap();
        })
        .unwrap();
    add_recording_timeout(&registry, &log, ms(0), "timeout");

    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        records.take(),
        [
            "free removed before",
            "wait",
            "timeout",
            "handle",
            "free removed during",
        ]
    );
}

// EV-501: the clock is read once per turn, so no timeout becomes due while a callback runs.
#[test]
fn time_passing_in_a_turn_fires_timeouts_in_the_next() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let (first, slow) = (log.clone(), model.clone());
    registry
        .add_timeout(ms(10), move |_| {
            slow.advance(ms(100));
            first.record("first");
        })
        .unwrap();
    add_recording_timeout(&registry, &log, ms(50), "second");
    assert_eq!(records.after(ms(10), &mut event_loop, &model), ["first"]);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        records.take(),
        ["first", "second"],
        "both deadlines have passed: 20 ms and 50 ms after the start"
    );
}

// EV-502, case S: registered handle, timeout, handle.
#[test]
fn due_timeouts_are_called_before_ready_handles() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    for fd in [3, 4] {
        model.set_ready(fd, R);
        let handle = log.clone();
        registry
            .add_source(ModelSource(fd), R, move |_| handle.record(format!("h{fd}")))
            .unwrap();
        let timeout = log.clone();
        registry
            .add_timeout(ms(0), move |_| timeout.record(format!("t{fd}")))
            .unwrap();
    }
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["t3", "t4", "h3", "h4"]);
}

// EV-503: in the order in which the poller reports the descriptors, independent of the age of the handles; the
// handles of one descriptor by age, which an update does not change.
#[test]
fn ready_handles_are_called_in_the_order_reported() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let mut ids = Vec::new();
    for (name, fd) in [("a", 5), ("b", 3), ("c", 4), ("d", 3)] {
        model.set_ready(fd, R);
        let id = add_recording_handle(&registry, &log, fd, R, name);
        ids.push(id);
    }
    for _ in 0..2 {
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["b", "d", "c", "a"]);
        registry.update_handle(ids[1], R | W).unwrap();
    }
}

// EV-504, case AS with a fourth timeout: by deadline, and timeouts with the same deadline by age.
#[test]
fn due_timeouts_are_called_by_deadline_then_by_age() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    for (name, interval) in [("a", 30), ("b", 10), ("c", 20), ("d", 10)] {
        add_recording_timeout(&registry, &log, ms(interval), name);
    }
    assert_eq!(
        records.after(ms(100), &mut event_loop, &model),
        ["b", "d", "c", "a"]
    );
}

// EV-505: even if several events are pending and the loop is late.
#[test]
fn each_entry_is_called_at_most_once_in_a_turn() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R | W);
    add_recording_handle(&registry, &log, 3, R | W, "handle");
    add_recording_timeout(&registry, &log, ms(10), "timeout");
    add_recording_timeout(&registry, &log, ms(0), "zero");
    let mut calls = records.after(ms(1_000), &mut event_loop, &model);
    calls.sort();
    assert_eq!(calls, ["handle", "timeout", "zero"]);
}

// EV-506, cases J and AT: handles added on a ready descriptor, also on one whose handles were already called or
// are still to be called, and timeouts with an interval of zero.
#[test]
fn entry_added_in_a_turn_is_not_called_in_it() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    for fd in [3, 4, 5] {
        model.set_ready(fd, R);
    }
    let adder = log.clone();
    registry
        .add_source(ModelSource(3), R, move |event| {
            for fd in [3, 4, 5] {
                let log = adder.clone();
                let added = event
                    .registry
                    .add_source(ModelSource(fd), R, move |_| log.record("new handle"));
                added.unwrap();
            }
            event
                .registry
                .update_handle(event.id, Events::NONE)
                .unwrap();
        })
        .unwrap();
    registry.add_source(ModelSource(5), R, |_| {}).unwrap();
    registry
        .add_timeout(ms(0), move |event| {
            let log = log.clone();
            let added = event
                .registry
                .add_timeout(ms(0), move |_| log.record("new timeout"));
            added.unwrap();
            event.registry.update_timeout(event.id, None).unwrap();
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), [""; 0]);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        records.take(),
        ["new timeout", "new handle", "new handle", "new handle"]
    );
}

// EV-508, case AJ
#[test]
fn busy_handle_does_not_delay_other_handles() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (busy, _peer) = streams();
        let (fed, mut feeder) = streams();
        let always = log.clone();
        registry
            .add_handle(busy, W, move |_| always.record("busy"))
            .unwrap();
        registry
            .add_handle(fed, R, move |event| {
                event.source.as_ref().read_exact(&mut [0]).unwrap();
                log.record("fed");
            })
            .unwrap();
        for _ in 0..100 {
            feeder.write_all(b"x").unwrap();
            event_loop.run_once(AT_ONCE).unwrap();
            let mut calls = records.take();
            calls.sort();
            assert_eq!(calls, ["busy", "fed"]);
        }
    });
}

// EV-508: also with more ready descriptors than the first wait of the backend can return. Its buffer grows once;
// until then the kernel returns the ready descriptors in rotation.
#[test]
fn many_ready_handles_are_all_called() {
    on_each_backend(|backend| {
        const HANDLES: usize = 1_500;
        allow_descriptors(HANDLES as u64 + 200);
        let (sender, received) = channel();
        let (mut event_loop, registry) = os_loop(backend);
        for handle in 0..HANDLES {
            let sender = sender.clone();
            let always_readable = eventfd(1, EventfdFlags::NONBLOCK).unwrap();
            registry
                .add_handle(always_readable, R, move |_| sender.send(handle).unwrap())
                .unwrap();
        }
        let called_in_a_turn = |event_loop: &mut EventLoop| {
            event_loop.run_once(AT_ONCE).unwrap();
            received.try_iter().collect::<Vec<_>>()
        };
        let mut called = called_in_a_turn(&mut event_loop);
        called.extend(called_in_a_turn(&mut event_loop));
        assert_eq!(BTreeSet::from_iter(called).len(), HANDLES);
        for _ in 0..3 {
            let called = called_in_a_turn(&mut event_loop);
            assert_eq!(called.len(), HANDLES);
            assert_eq!(BTreeSet::from_iter(called).len(), HANDLES);
        }
    });
}

fn allow_descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

// EV-509
#[test]
fn zero_timeout_does_not_delay_handles() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, mut far) = streams();
        add_recording_timeout(&registry, &log, Duration::ZERO, "zero");
        registry
            .add_handle(near, R, move |event| {
                event.source.as_ref().read_exact(&mut [0]).unwrap();
                log.record("handle");
            })
            .unwrap();
        for _ in 0..10 {
            far.write_all(b"x").unwrap();
            event_loop.run_once(None).unwrap();
            assert_eq!(records.take(), ["zero", "handle"]);
        }
    });
}

// EV-501, EV-509: a turn makes one wait; with a zero timeout that wait returns at once.
#[test]
fn a_turn_waits_once() {
    let (mut event_loop, registry, probe) = probe_loop();
    registry.add_timeout(ms(0), |_| {}).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(AT_ONCE)]);
}
