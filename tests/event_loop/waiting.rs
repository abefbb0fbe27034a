//! Removing an entry and waiting for its last call (EV-702).

use crate::support::{AT_ONCE, R, log, model_loop, ms};
use eventry::EventLoop;
use eventry::poller::model::ModelSource;
use eventry::registry::RemoveError;
use eventry::table::NotRegistered;
use std::sync::mpsc::channel;
use std::thread;
use test_support::timeout::{bounded, wait_until};

#[test]
fn nothing_is_waited_for_if_no_call_is_in_flight() {
    let (_event_loop, registry, _model) = model_loop();
    let handle = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let timeout = registry.add_timeout(ms(1), |_| {}).unwrap();
    assert_eq!(registry.remove_handle_and_wait(handle), Ok(()));
    assert_eq!(registry.remove_timeout_and_wait(timeout), Ok(()));
    let gone = Err(RemoveError::NotRegistered(NotRegistered));
    assert_eq!(registry.remove_handle_and_wait(handle), gone);
    assert_eq!(registry.remove_timeout_and_wait(timeout), gone);
}

// The callback is held until the remover is on its way; when the remover is back, it is over.
#[test]
fn a_removal_that_waits_returns_after_the_last_call() {
    bounded("the test", || {
        let (log, heard) = log();
        let loop_thread = EventLoop::new().unwrap().spawn("events").unwrap();
        let registry = loop_thread.registry();
        let (entered, is_entered) = channel();
        let (go_on, gate) = channel::<()>();
        let in_callback = log.clone();
        let id = registry
            .add_timeout(ms(0), move |_| {
                entered.send(()).unwrap();
                gate.recv().unwrap();
                in_callback.note("the call is over");
            })
            .unwrap();
        is_entered.recv().unwrap();
        let probe = registry.clone();
        let remover = thread::spawn(move || {
            let removed = registry.remove_timeout_and_wait(id);
            log.note("the removal is back");
            removed
        });
        // The entry is unknown as soon as the removal has begun; its call is still held at the gate.
        wait_until("the removal has begun", || {
            probe.update_timeout(id, ms(0)).is_err()
        });
        assert_eq!(heard.take(), [""; 0]);
        go_on.send(()).unwrap();
        assert_eq!(remover.join().unwrap(), Ok(()));
        assert_eq!(heard.take(), ["the call is over", "the removal is back"]);
        loop_thread.join().unwrap();
    });
}

#[test]
fn remove_and_wait_inside_itself_is_refused() {
    bounded("the test", || {
        let (log, heard) = log();
        let (mut event_loop, registry, model) = model_loop();
        model.set_ready(3, R);
        let in_handle = log.clone();
        registry
            .add_source(ModelSource(3), R, move |event| {
                let refused = event.registry.remove_handle_and_wait(event.id);
                assert_eq!(refused, Err(RemoveError::WouldDeadlock));
                in_handle.note("handle");
            })
            .unwrap();
        registry
            .add_timeout(ms(0), move |event| {
                let refused = event.registry.remove_timeout_and_wait(event.id);
                assert_eq!(refused, Err(RemoveError::WouldDeadlock));
                log.note("timeout");
            })
            .unwrap();
        for _ in 0..2 {
            event_loop.run_once(AT_ONCE).unwrap();
            assert_eq!(heard.take(), ["timeout", "handle"]);
        }
    });
}

// Another entry's call is not in flight while this one's is.
#[test]
fn a_callback_may_wait_for_the_removal_of_another_entry() {
    bounded("the test", || {
        let (mut event_loop, registry, _model) = model_loop();
        let other = registry.add_timeout(ms(5), |_| {}).unwrap();
        registry
            .add_timeout(ms(0), move |event| {
                let removed = event.registry.remove_timeout_and_wait(other);
                assert_eq!(removed, Ok(()));
                let _ = event.registry.remove_timeout(event.id).unwrap();
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert!(registry.is_idle());
    });
}

// EV-1103: an id of another loop names nothing here, also where it would name the very entry that calls.
#[test]
fn remove_and_wait_for_another_loops_id_is_not_registered() {
    bounded("the test", || {
        let (log, heard) = log();
        let (_elsewhere, other_registry, _model) = model_loop();
        let (mut event_loop, registry, model) = model_loop();
        model.set_ready(3, R);
        let foreign_handle = other_registry
            .add_source(ModelSource(3), R, |_| {})
            .unwrap();
        let foreign_timeout = other_registry.add_timeout(ms(0), |_| {}).unwrap();
        let gone = Err(RemoveError::NotRegistered(NotRegistered));
        let in_handle = log.clone();
        registry
            .add_source(ModelSource(3), R, move |event| {
                let removed = event.registry.remove_handle_and_wait(foreign_handle);
                assert_eq!(removed, gone);
                in_handle.note("handle");
            })
            .unwrap();
        registry
            .add_timeout(ms(0), move |event| {
                let removed = event.registry.remove_timeout_and_wait(foreign_timeout);
                assert_eq!(removed, gone);
                log.note("timeout");
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), ["timeout", "handle"]);
    });
}
