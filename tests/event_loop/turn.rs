//! One turn: what is called, in which order, how often.

use crate::support::{
    AT_ONCE, R, Told, W, handle_that_notes, log, model_loop, ms, on_each_backend, os_loop,
    probe_loop, streams, timeout_that_notes,
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
    let (log, heard) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    let freed_first = log.on_drop("free what was removed before");
    let before = registry
        .add_timeout(ms(1), move |_| freed_first.keep())
        .unwrap();
    let _ = registry.remove_timeout(before).unwrap();

    let waiting = log.clone();
    probe.during_a_wait(move || waiting.note("wait"));
    probe.model.set_ready(3, R);
    let (handle, freed_last) = (log.clone(), log.on_drop("free what was removed during"));
    registry
        .add_source(ModelSource(3), R, move |event| {
            freed_last.keep();
            handle.note("handle");
            let _ = event.registry.remove_handle(event.id).unwrap();
        })
        .unwrap();
    timeout_that_notes(&registry, &log, ms(0), "timeout");

    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        heard.take(),
        [
            "free what was removed before",
            "wait",
            "timeout",
            "handle",
            "free what was removed during",
        ]
    );
}

// EV-501: the clock is sampled once, so time that passes in a callback makes nothing else due.
#[test]
fn time_that_passes_during_a_turn_counts_from_the_next() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    let (first, slow) = (log.clone(), model.clone());
    registry
        .add_timeout(ms(10), move |_| {
            slow.advance(ms(100));
            first.note("first");
        })
        .unwrap();
    timeout_that_notes(&registry, &log, ms(50), "second");
    assert_eq!(heard.after(ms(10), &mut event_loop, &model), ["first"]);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        heard.take(),
        ["first", "second"],
        "due 20 ms and 50 ms after the start"
    );
}

// EV-502, case S: registered handle, timeout, handle.
#[test]
fn due_timeouts_are_called_before_ready_handles() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    for fd in [3, 4] {
        model.set_ready(fd, R);
        let handle = log.clone();
        registry
            .add_source(ModelSource(fd), R, move |_| handle.note(format!("h{fd}")))
            .unwrap();
        let timeout = log.clone();
        registry
            .add_timeout(ms(0), move |_| timeout.note(format!("t{fd}")))
            .unwrap();
    }
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["t3", "t4", "h3", "h4"]);
}

// EV-503: in the order the poller reports descriptors, whatever the age of the handles; on one
// descriptor by age, and an update keeps the place.
#[test]
fn ready_handles_are_called_in_the_order_reported() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    let mut ids = Vec::new();
    for (name, fd) in [("a", 5), ("b", 3), ("c", 4), ("d", 3)] {
        model.set_ready(fd, R);
        let id = handle_that_notes(&registry, &log, fd, R, name);
        ids.push(id);
    }
    for _ in 0..2 {
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), ["b", "d", "c", "a"]);
        registry.update_handle(ids[1], R | W).unwrap();
    }
}

// EV-504: by deadline, and those of one deadline by age. Case AS, with a fourth.
#[test]
fn due_timeouts_are_called_by_deadline_then_by_age() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    for (name, interval) in [("a", 30), ("b", 10), ("c", 20), ("d", 10)] {
        timeout_that_notes(&registry, &log, ms(interval), name);
    }
    assert_eq!(
        heard.after(ms(100), &mut event_loop, &model),
        ["b", "d", "c", "a"]
    );
}

// EV-505: however much is pending, and however late the loop is.
#[test]
fn each_entry_is_called_at_most_once_in_a_turn() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R | W);
    handle_that_notes(&registry, &log, 3, R | W, "handle");
    timeout_that_notes(&registry, &log, ms(10), "timeout");
    timeout_that_notes(&registry, &log, ms(0), "zero");
    let mut calls = heard.after(ms(1_000), &mut event_loop, &model);
    calls.sort();
    assert_eq!(calls, ["handle", "timeout", "zero"]);
}

// EV-506, cases J and AT: added on a ready descriptor, also one that was reported already or whose turn is still
// to come, and with no interval at all.
#[test]
fn what_is_added_in_a_turn_is_not_called_in_it() {
    let (log, heard) = log();
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
                    .add_source(ModelSource(fd), R, move |_| log.note("new handle"));
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
                .add_timeout(ms(0), move |_| log.note("new timeout"));
            added.unwrap();
            event.registry.update_timeout(event.id, None).unwrap();
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), [""; 0]);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        heard.take(),
        ["new timeout", "new handle", "new handle", "new handle"]
    );
}

// EV-508, case AJ
#[test]
fn a_busy_handle_keeps_no_other_from_being_called() {
    on_each_backend(|backend| {
        let (log, heard) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (busy, _peer) = streams();
        let (fed, mut feeder) = streams();
        let always = log.clone();
        registry
            .add_handle(busy, W, move |_| always.note("busy"))
            .unwrap();
        registry
            .add_handle(fed, R, move |event| {
                event.source.as_ref().read_exact(&mut [0]).unwrap();
                log.note("fed");
            })
            .unwrap();
        for _ in 0..100 {
            feeder.write_all(b"x").unwrap();
            event_loop.run_once(AT_ONCE).unwrap();
            let mut calls = heard.take();
            calls.sort();
            assert_eq!(calls, ["busy", "fed"]);
        }
    });
}

// EV-508: also with more ready descriptors than one wait of the backend takes at first; it grows once,
// and meanwhile the kernel hands out in turn what is ready.
#[test]
fn every_ready_handle_is_called_however_many_there_are() {
    on_each_backend(|backend| {
        const HANDLES: usize = 1_500;
        allow_descriptors(HANDLES as u64 + 200);
        let (tell, told) = channel();
        let (mut event_loop, registry) = os_loop(backend);
        for handle in 0..HANDLES {
            let tell = tell.clone();
            let always_readable = eventfd(1, EventfdFlags::NONBLOCK).unwrap();
            registry
                .add_handle(always_readable, R, move |_| tell.send(handle).unwrap())
                .unwrap();
        }
        let called_in_a_turn = |event_loop: &mut EventLoop| {
            event_loop.run_once(AT_ONCE).unwrap();
            told.try_iter().collect::<Vec<_>>()
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
fn a_zero_timeout_does_not_keep_handles_waiting() {
    on_each_backend(|backend| {
        let (log, heard) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, mut far) = streams();
        timeout_that_notes(&registry, &log, Duration::ZERO, "zero");
        registry
            .add_handle(near, R, move |event| {
                event.source.as_ref().read_exact(&mut [0]).unwrap();
                log.note("handle");
            })
            .unwrap();
        for _ in 0..10 {
            far.write_all(b"x").unwrap();
            event_loop.run_once(None).unwrap();
            assert_eq!(heard.take(), ["zero", "handle"]);
        }
    });
}

// EV-501, EV-509: a turn makes one wait, and a zero timeout makes that one not wait.
#[test]
fn a_turn_waits_once() {
    let (mut event_loop, registry, probe) = probe_loop();
    registry.add_timeout(ms(0), |_| {}).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.told(), [Told::Wait(AT_ONCE)]);
}
