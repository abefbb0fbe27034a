//! Callbacks that panic.

use crate::support::{AT_ONCE, OnDrop, ProbePoller, R, add_recording_handle, log, model_loop, ms};
use eventry::diagnostics::Warning;
use eventry::poller::Poller;
use eventry::poller::model::{Model, ModelSource};
use eventry::{
    CallbackId, CallbackPanic, EventLoop, Next, PanicPolicy, Registry, RunError, TimeoutId,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

fn panics_of(result: Result<(), RunError>) -> Vec<CallbackPanic> {
    match result {
        Err(RunError::CallbackPanicked(panics)) => panics,
        other => panic!("no panic was reported: {other:?}"),
    }
}

// EV-514: the entry is removed and freed once; the turn and the loop continue.
#[test]
fn a_callback_that_panics_is_removed_and_the_others_are_called() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let (timeout_freed, handle_freed) = (log.on_drop("free t"), log.on_drop("free h"));
    let timeout = registry
        .add_timeout(ms(0), move |_| -> Next {
            timeout_freed.keep();
            panic!("no time");
        })
        .unwrap();
    model.set_ready(3, R);
    model.set_ready(4, R);
    let handle = registry
        .add_source(ModelSource(3), R, move |_| -> Next {
            handle_freed.keep();
            panic!("descriptor {}", 3);
        })
        .unwrap();
    add_recording_handle(&registry, &log, 4, R, "other");

    let panics = panics_of(event_loop.run_once(AT_ONCE));
    let panics: Vec<_> = panics
        .iter()
        .map(|panic| (panic.callback, panic.message.as_str()))
        .collect();
    let expected = [
        (CallbackId::Timeout(timeout), "no time"),
        (CallbackId::Handle(handle), "descriptor 3"),
    ];
    assert_eq!(panics, expected);
    assert_eq!(records.take(), ["other", "free t", "free h"]);
    assert!(registry.remove_handle(handle).is_err());
    assert!(registry.remove_timeout(timeout).is_err());

    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["other"]);
}

/// The payload of a panic, whose drop panics too.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("drop of the payload");
    }
}

// EV-514: the drop of the payload is code of the user.
#[test]
fn a_panic_whose_payload_panics_is_reported_once() {
    let (mut event_loop, registry, _model) = model_loop();
    let add = || registry.add_timeout(ms(0), |_| -> Next { std::panic::panic_any(Payload) });
    let timeout = add().unwrap();
    let panics = panics_of(event_loop.run_once(AT_ONCE));
    let panics: Vec<_> = panics.iter().map(|panic| panic.callback).collect();
    assert_eq!(panics, [CallbackId::Timeout(timeout)]);
    event_loop.run_once(AT_ONCE).unwrap();
}

// EV-514
#[test]
fn a_callback_that_removes_itself_and_panics_is_freed_once() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let freed = log.on_drop("free");
    registry
        .add_source(ModelSource(3), R, move |event| -> Next {
            freed.keep();
            let _ = event.registry.remove_handle(event.id).unwrap();
            panic!("after the removal");
        })
        .unwrap();
    assert_eq!(panics_of(event_loop.run_once(AT_ONCE)).len(), 1);
    drop(event_loop);
    assert_eq!(records.take(), ["free"]);
}

// EV-514: a panic in one free call does not prevent the next one.
#[test]
fn panic_in_a_free_is_reported_and_others_are_freed() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let panicking = OnDrop(|| panic!("dropped"));
    let bad = registry
        .add_timeout(ms(1), move |_| panicking.keep())
        .unwrap();
    let freed = log.on_drop("free");
    let good = registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
    let _ = registry.remove_timeout(bad).unwrap();
    let _ = registry.remove_timeout(good).unwrap();
    let panics = panics_of(event_loop.run_once(AT_ONCE));
    assert_eq!(panics.len(), 1);
    assert_eq!(panics[0].callback, CallbackId::Free);
    assert_eq!(panics[0].message, "dropped");
    assert_eq!(records.take(), ["free"]);
    event_loop.run_once(AT_ONCE).unwrap();
}

// EV-514: no caller can get the panic as a result, so the drop itself panics.
#[test]
fn panic_in_a_free_during_loop_drop_is_propagated() {
    let (log, records) = log();
    let (event_loop, registry, _model) = model_loop();
    let panicking = OnDrop(|| panic!("dropped"));
    registry
        .add_timeout(ms(1), move |_| panicking.keep())
        .unwrap();
    let freed = log.on_drop("free");
    registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(event_loop))).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "dropped");
    assert_eq!(records.take(), ["free"]);
}

// A second panic during unwinding would abort the process.
#[test]
fn panicking_drop_during_an_unwinding_loop_drop_is_caught() {
    let (event_loop, registry, _model) = model_loop();
    let panicking = OnDrop(|| panic!("dropped"));
    registry
        .add_timeout(ms(1), move |_| panicking.keep())
        .unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _event_loop = event_loop;
        panic!("the first");
    }));
    assert_eq!(
        panic.unwrap_err().downcast_ref::<&str>(),
        Some(&"the first")
    );
}

/// Adds a timeout that panics once, and one that stops the run after some turns.
fn panics_once<P: Poller>(event_loop: &EventLoop<P>) -> TimeoutId {
    let (registry, stopper) = (event_loop.registry(), event_loop.stopper());
    let panics = registry.add_timeout(ms(0), |_| -> Next { panic!("no time") });
    let mut turns = 0;
    let ticks = registry.add_timeout(ms(0), move |_| {
        turns += 1;
        if turns == 3 {
            stopper.stop();
        }
    });
    ticks.unwrap();
    panics.unwrap()
}

#[test]
fn run_continues_after_a_panic_if_configured() {
    let (mut event_loop, registry, _model) = model_loop();
    event_loop.set_panic_policy(PanicPolicy::Continue);
    let id = panics_once(&event_loop);
    event_loop.run().unwrap();
    let stats = registry.stats();
    assert_eq!((stats.turns, stats.panics), (3, 1));
    assert!(
        registry.remove_timeout(id).is_err(),
        "the entry was not removed"
    );
}

#[test]
fn run_stops_at_a_panic_by_default() {
    let (mut event_loop, registry, _model) = model_loop();
    panics_once(&event_loop);
    assert_eq!(panics_of(event_loop.run()).len(), 1);
    let stats = registry.stats();
    assert_eq!((stats.turns, stats.panics), (1, 1));
}

// The hook is called without the lock, at the end of the turn, and may stop the run.
#[test]
fn panic_hook_is_called_for_each_panic_and_run_continues() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let (of_hook, received) = (registry.clone(), log.clone());
    let hook = move |panic: &CallbackPanic| {
        received.record(format!("{panic}, {} panics", of_hook.stats().panics));
    };
    event_loop.set_panic_policy(PanicPolicy::Call(Arc::new(hook)));
    let timeout = panics_once(&event_loop);
    let panicking = OnDrop(|| panic!("dropped"));
    let panicking = registry
        .add_timeout(None, move |_| panicking.keep())
        .unwrap();
    let _ = registry.remove_timeout(panicking).unwrap();
    model.set_ready(3, R);
    add_recording_handle(&registry, &log, 3, R, "called");
    event_loop.run().unwrap();
    let expected = [
        "called".to_owned(),
        "the drop of removed callbacks panicked: dropped, 2 panics".to_owned(),
        format!("the callback of {timeout} panicked: no time, 2 panics"),
        "called".to_owned(),
        "called".to_owned(),
    ];
    assert_eq!(records.take(), expected);
}

#[test]
fn panic_in_a_free_during_loop_drop_calls_the_hook() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let hook = move |panic: &CallbackPanic| log.record(panic.to_string());
    event_loop.set_panic_policy(PanicPolicy::Call(Arc::new(hook)));
    let panicking = OnDrop(|| panic!("dropped"));
    registry
        .add_timeout(ms(1), move |_| panicking.keep())
        .unwrap();
    drop(event_loop);
    let expected = ["the drop of removed callbacks panicked: dropped"];
    assert_eq!(records.take(), expected);
}

#[test]
fn builder_sets_the_panic_policy() {
    let (log, records) = log();
    let builder = EventLoop::builder().on_panic(move |panic| log.record(&*panic.message));
    let mut event_loop = builder.build().unwrap();
    panics_once(&event_loop);
    event_loop.run().unwrap();
    assert_eq!(records.take(), ["no time"]);
    let builder = EventLoop::builder().panic_policy(PanicPolicy::Continue);
    let mut event_loop = builder.build().unwrap();
    panics_once(&event_loop);
    event_loop.run().unwrap();
}

// EV-512: an error of the wait is reported, causes no call, and does not change the loop.
#[test]
fn loop_is_usable_after_a_failed_wait() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    add_recording_handle(&registry, &log, 3, R, "called");
    model.fail_next_wait(std::io::ErrorKind::OutOfMemory);
    assert!(matches!(
        event_loop.run_once(None),
        Err(RunError::Wait(error)) if error.kind() == std::io::ErrorKind::OutOfMemory
    ));
    assert_eq!(records.take(), [""; 0]);
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["called"]);
}

#[test]
fn panic_is_reported_with_callback_and_message() {
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let timeout = registry
        .add_timeout(ms(0), |_| -> Next { panic!("no time") })
        .unwrap();
    let handle = registry
        .add_source(ModelSource(3), R, |_| -> Next { panic!("no data") })
        .unwrap();
    let said = panics_of(event_loop.run_once(AT_ONCE)).into_iter();
    let said: Vec<String> = said
        .map(|panic| format!("{}: {}", panic.callback, panic.message))
        .collect();
    let expected = [
        format!("the callback of {timeout}: no time"),
        format!("the callback of {handle}: no data"),
    ];
    assert_eq!(said, expected);
}

// EV-907, EV-514: a stop ends one run, also if that run reports a panic.
#[test]
fn stop_in_the_turn_of_a_panic_ends_only_that_run() {
    let (mut event_loop, registry, _model) = model_loop();
    let stopper = event_loop.stopper();
    let stops = registry.add_timeout(ms(0), move |_| {
        stopper.stop();
        Next::Remove
    });
    stops.unwrap();
    panics_once(&event_loop);
    assert_eq!(panics_of(event_loop.run()).len(), 1);
    assert_eq!(registry.stats().turns, 1);
    // The timeout of `panics_once` stops the next run in its third turn.
    event_loop.run().unwrap();
    assert_eq!(registry.stats().turns, 3);
}

/// A loop whose panic hook panics, and whose only timeout panics and stops it.
fn loop_with_a_panicking_hook() -> (EventLoop<ProbePoller>, Registry<ProbePoller>, Model) {
    let (mut event_loop, registry, model) = model_loop();
    let hook = |_: &CallbackPanic| panic!("hook");
    event_loop.set_panic_policy(PanicPolicy::Call(Arc::new(hook)));
    let stopper = event_loop.stopper();
    let panics = registry.add_timeout(ms(0), move |_| -> Next {
        stopper.stop();
        panic!("no time")
    });
    panics.unwrap();
    (event_loop, registry, model)
}

fn hook_panics_in(run: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"hook"));
}

// The loop does not run after the panic, as its warning about overdue work says.
#[test]
fn loop_does_not_run_after_a_panic_of_the_hook() {
    let (mut event_loop, registry, model) = loop_with_a_panicking_hook();
    let (sender, received) = channel();
    event_loop.set_on_warning(move |warning| sender.send(*warning).unwrap());
    hook_panics_in(|| event_loop.run_once(AT_ONCE).unwrap());
    registry.add_timeout(ms(5), |_| {}).unwrap();
    let waited = Duration::from_secs(11);
    model.advance(ms(5) + waited);
    assert_eq!(registry.stats().overdue, waited);
    assert_eq!(received.try_recv(), Ok(Warning::NotRunning { waited }));
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(registry.stats().calls, 2);
}

// EV-907
#[test]
fn stop_before_a_panic_of_the_hook_ends_only_that_run() {
    let (mut event_loop, registry, _model) = loop_with_a_panicking_hook();
    hook_panics_in(|| event_loop.run().unwrap());
    event_loop.set_panic_policy(PanicPolicy::Continue);
    panics_once(&event_loop);
    event_loop.run().unwrap();
    assert_eq!(registry.stats().turns, 4);
}
