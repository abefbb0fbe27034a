//! Callbacks that panic.

use crate::support::{AT_ONCE, OnDrop, R, handle_that_notes, log, model_loop, ms};
use eventry::poller::model::ModelSource;
use eventry::registry::Next;
use eventry::{CallbackId, CallbackPanic, RunError};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
    let expected = [
        (CallbackId::Timeout(timeout), "no time"),
        (CallbackId::Handle(handle), "descriptor 3"),
    ]
    .map(|(callback, message)| CallbackPanic {
        callback,
        message: message.to_owned(),
    });
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
