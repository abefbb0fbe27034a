//! Registrations that the poller cannot end (EV-1003), on the model poller.

use crate::support::{AT_ONCE, R, W, log, model_loop, ms};
use eventry::Events;
use eventry::poller::model::ModelSource;

// The phantom belongs to nobody, and the loop is rid of it after it has seen it twice.
#[test]
fn stale_registration_calls_no_handle_and_rebuilds_once() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let note = log.clone();
    let kept = registry
        .add_source(ModelSource(4), W, move |event| {
            note.note(format!("kept {:?}", event.events));
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.haunt(3, R);
    let _ = registry.remove_handle(id).unwrap();
    registry
        .add_timeout(ms(10), move |_| log.note("fired"))
        .unwrap();

    let mut turns = 0;
    while turns < 20 && heard.take() != ["fired"] {
        event_loop.run_once(None).unwrap();
        turns += 1;
    }
    assert!(turns <= 4, "{turns} turns for one timeout");

    // Told anew of what is registered, and of nothing else.
    assert_eq!(model.registered(), [(4, W)]);
    model.set_ready(4, W);
    event_loop.run_once(None).unwrap();
    assert_eq!(heard.take(), ["kept WRITABLE"]);
    registry.update_handle(kept, Events::NONE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(model.registered(), []);
}

// What cannot be registered again is an error of its handles, once, as at any other time (EV-1001).
#[test]
fn handle_refused_by_a_rebuild_gets_one_error() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    registry
        .add_source(ModelSource(4), R, move |event| {
            log.note(format!("{:?}", event.events));
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.haunt(3, R);
    let _ = registry.remove_handle(id).unwrap();
    model.refuse_registrations(Some(std::io::ErrorKind::NotFound));
    for _ in 0..5 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(heard.take(), ["ERROR"]);
}

// An event that a removal has overtaken is stale, too, but it comes once.
#[test]
fn overtaken_events_do_not_rebuild_the_poller() {
    let (mut event_loop, registry, model) = model_loop();
    registry.add_source(ModelSource(9), R, |_| {}).unwrap();
    for _ in 0..10 {
        let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
        model.set_ready(3, R);
        event_loop.run_once(AT_ONCE).unwrap();
        model.haunt(3, R);
        let _ = registry.remove_handle(id).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        model.exorcise();
    }
    assert_eq!(model.rebuilds(), 0);
}
