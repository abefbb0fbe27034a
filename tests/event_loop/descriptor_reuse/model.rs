//! Registrations that the poller cannot end (EV-1003), on the model poller.

use crate::support::{AT_ONCE, R, W, log, model_loop, ms};
use eventry::Events;
use eventry::poller::model::ModelSource;

// The stale registration belongs to no handle. The loop recreates the poller after its second event.
#[test]
fn stale_registration_recreates_the_poller_once() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let recorder = log.clone();
    let kept = registry
        .add_source(ModelSource(4), W, move |event| {
            recorder.record(format!("kept {:?}", event.events));
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.add_stale(3, R);
    let _ = registry.remove_handle(id).unwrap();
    registry
        .add_timeout(ms(10), move |_| log.record("fired"))
        .unwrap();

    let mut turns = 0;
    while turns < 20 && records.take() != ["fired"] {
        event_loop.run_once(None).unwrap();
        turns += 1;
    }
    assert!(turns <= 4, "{turns} turns for one timeout");

    // The new poller has the registrations of the handles only.
    assert_eq!(model.registered(), [(4, W)]);
    model.set_ready(4, W);
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["kept WRITABLE"]);
    registry.update_handle(kept, Events::NONE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(model.registered(), []);
}

// A descriptor that cannot be registered with the new poller is reported to its handles once (EV-1001).
#[test]
fn handle_refused_after_recreate_gets_one_error() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    registry
        .add_source(ModelSource(4), R, move |event| {
            log.record(format!("{:?}", event.events));
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.add_stale(3, R);
    let _ = registry.remove_handle(id).unwrap();
    model.refuse_registrations(Some(std::io::ErrorKind::NotFound));
    for _ in 0..5 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(records.take(), ["ERROR"]);
}

// An event that was fetched before a removal is stale as well, but occurs once only.
#[test]
fn overtaken_events_do_not_recreate_the_poller() {
    let (mut event_loop, registry, model) = model_loop();
    registry.add_source(ModelSource(9), R, |_| {}).unwrap();
    for _ in 0..10 {
        let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
        model.set_ready(3, R);
        event_loop.run_once(AT_ONCE).unwrap();
        model.add_stale(3, R);
        let _ = registry.remove_handle(id).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        model.clear_stale();
    }
    assert_eq!(model.recreations(), 0);
}
