//! Callbacks that panic.

use crate::support::{AT_ONCE, OnDrop, R, handle_that_notes, log, model_loop, ms};
use eventry::poller::Poller;
use eventry::poller::model::ModelSource;
use eventry::{CallbackId, CallbackPanic, EventLoop, Next, PanicPolicy, RunError, TimeoutId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

fn panics_of(result: Result<(), RunError>) -> Vec<CallbackPanic> {
    match result {
        Err(RunError::CallbackPanicked(panics)) => panics,
        other => panic!("no panic was reported: {other:?}"),
    }
}

// EV-514: removed, freed once, the turn goes on, and so does the loop.
#[test]
fn a_callback_that_panics_is_removed_and_the_others_are_called() {
    let (log, heard) = log();
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
    handle_that_notes(&registry, &log, 4, R, "other");

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
    assert_eq!(heard.take(), ["other", "free t", "free h"]);
    assert!(registry.remove_handle(handle).is_err());
    assert!(registry.remove_timeout(timeout).is_err());

    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["other"]);
}

// EV-514
#[test]
fn a_callback_that_removes_itself_and_panics_is_freed_once() {
    let (log, heard) = log();
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
    assert_eq!(heard.take(), ["free"]);
}

// EV-514: the free call of one does not keep the next from being freed.
#[test]
fn a_drop_that_panics_is_reported_and_the_others_are_freed() {
    let (log, heard) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let bomb = OnDrop(|| panic!("dropped"));
    let bad = registry.add_timeout(ms(1), move |_| bomb.keep()).unwrap();
    let freed = log.on_drop("free");
    let good = registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
    let _ = registry.remove_timeout(bad).unwrap();
    let _ = registry.remove_timeout(good).unwrap();
    let panics = panics_of(event_loop.run_once(AT_ONCE));
    assert_eq!(panics.len(), 1);
    assert_eq!(panics[0].callback, CallbackId::Free);
    assert_eq!(panics[0].message, "dropped");
    assert_eq!(heard.take(), ["free"]);
    event_loop.run_once(AT_ONCE).unwrap();
}

// EV-514: nobody is left to return it to, so the drop itself panics.
#[test]
fn a_drop_that_panics_while_the_loop_is_dropped_is_passed_on() {
    let (log, heard) = log();
    let (event_loop, registry, _model) = model_loop();
    let bomb = OnDrop(|| panic!("dropped"));
    registry.add_timeout(ms(1), move |_| bomb.keep()).unwrap();
    let freed = log.on_drop("free");
    registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(event_loop))).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "dropped");
    assert_eq!(heard.take(), ["free"]);
}

// A second panic would end the process.
#[test]
fn panicking_drop_during_an_unwinding_loop_drop_is_caught() {
    let (event_loop, registry, _model) = model_loop();
    let bomb = OnDrop(|| panic!("dropped"));
    registry.add_timeout(ms(1), move |_| bomb.keep()).unwrap();
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
    assert!(registry.remove_timeout(id).is_err(), "it was removed");
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
fn the_panic_hook_hears_of_each_panic_and_run_continues() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    let (of_hook, told) = (registry.clone(), log.clone());
    let hook = move |panic: &CallbackPanic| {
        told.note(format!("{panic}, {} panics", of_hook.stats().panics));
    };
    event_loop.set_panic_policy(PanicPolicy::Call(Arc::new(hook)));
    let timeout = panics_once(&event_loop);
    let bomb = OnDrop(|| panic!("dropped"));
    let bomb = registry.add_timeout(None, move |_| bomb.keep()).unwrap();
    let _ = registry.remove_timeout(bomb).unwrap();
    model.set_ready(3, R);
    handle_that_notes(&registry, &log, 3, R, "called");
    event_loop.run().unwrap();
    let expected = [
        "called".to_owned(),
        "the drop of removed callbacks panicked: dropped, 2 panics".to_owned(),
        format!("the callback of {timeout} panicked: no time, 2 panics"),
        "called".to_owned(),
        "called".to_owned(),
    ];
    assert_eq!(heard.take(), expected);
}

#[test]
fn a_drop_that_panics_with_the_loop_goes_to_the_panic_hook() {
    let (log, heard) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let hook = move |panic: &CallbackPanic| log.note(panic.to_string());
    event_loop.set_panic_policy(PanicPolicy::Call(Arc::new(hook)));
    let bomb = OnDrop(|| panic!("dropped"));
    registry.add_timeout(ms(1), move |_| bomb.keep()).unwrap();
    drop(event_loop);
    let expected = ["the drop of removed callbacks panicked: dropped"];
    assert_eq!(heard.take(), expected);
}

#[test]
fn a_loop_has_the_panic_policy_that_it_was_built_with() {
    let (log, heard) = log();
    let builder = EventLoop::builder().on_panic(move |panic| log.note(&*panic.message));
    let mut event_loop = builder.build().unwrap();
    panics_once(&event_loop);
    event_loop.run().unwrap();
    assert_eq!(heard.take(), ["no time"]);
    let builder = EventLoop::builder().panic_policy(PanicPolicy::Continue);
    let mut event_loop = builder.build().unwrap();
    panics_once(&event_loop);
    event_loop.run().unwrap();
}

// EV-512: an error of the wait is reported, calls nothing, and leaves the loop as it was.
#[test]
fn a_wait_that_fails_leaves_the_loop_usable() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    handle_that_notes(&registry, &log, 3, R, "called");
    model.fail_next_wait(std::io::ErrorKind::OutOfMemory);
    assert!(matches!(
        event_loop.run_once(None),
        Err(RunError::Wait(error)) if error.kind() == std::io::ErrorKind::OutOfMemory
    ));
    assert_eq!(heard.take(), [""; 0]);
    event_loop.run_once(None).unwrap();
    assert_eq!(heard.take(), ["called"]);
}

#[test]
fn a_panic_is_reported_with_what_panicked_and_what_it_said() {
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
