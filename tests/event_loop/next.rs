//! Results of callbacks.

use crate::support::{AT_ONCE, R, log, model_loop, ms};
use eventry::poller::model::ModelSource;
use eventry::registry::Next;
use eventry::table::{NotRegistered, Removal};

// EV-401, EV-402
#[test]
fn self_disabled_handle_is_called_again_after_update() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let id = registry
        .add_source(ModelSource(3), R, move |_| {
            log.record("called");
            Next::Disable
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["called"]);
    assert_eq!(model.registered(), []);
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["called"]);
}

// EV-610, EV-707: the entry is removed and freed in the turn of its last call.
#[test]
fn an_entry_that_removes_itself_is_freed_in_the_same_turn() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let (of_handle, of_timeout) = (log.on_drop("free h"), log.on_drop("free t"));
    let handle = registry
        .add_source(ModelSource(3), R, move |_| {
            of_handle.keep();
            Next::Remove
        })
        .unwrap();
    let timeout = registry
        .add_timeout(ms(0), move |_| {
            of_timeout.keep();
            Next::Remove
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["free t", "free h"]);
    assert_eq!(registry.remove_handle(handle), Err(NotRegistered));
    assert_eq!(registry.remove_timeout(timeout), Err(NotRegistered));
    assert_eq!(model.registered(), []);
    assert!(registry.is_idle());
}

// A one-shot timeout can be armed again.
#[test]
fn self_disabled_timeout_fires_again_after_update() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let id = registry
        .add_timeout(ms(10), move |_| {
            log.record("fired");
            Next::Disable
        })
        .unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["fired"]);
    event_loop.run_once(Some(ms(100))).unwrap();
    assert_eq!(records.take(), [""; 0]);
    registry.update_timeout(id, ms(10)).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["fired"]);
}

// The result of a callback that removed its own entry does not restore the entry.
#[test]
fn result_of_a_removed_entry_is_ignored() {
    for next in [Next::Keep, Next::Disable, Next::Remove] {
        let (log, records) = log();
        let (mut event_loop, registry, model) = model_loop();
        model.set_ready(3, R);
        let freed = log.on_drop("free");
        registry
            .add_source(ModelSource(3), R, move |event| {
                freed.keep();
                let removal = event.registry.remove_handle(event.id);
                assert_eq!(removal, Ok(Removal::InFlight));
                next
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["free"]);
    }
}
