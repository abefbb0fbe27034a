//! Removal of an entry with a wait for its last call (EV-702).

use crate::support::{AT_ONCE, R, log, model_loop, ms};
use eventry::EventLoop;
use eventry::poller::model::ModelSource;
use eventry::registry::RemoveError;
use eventry::table::NotRegistered;
use std::sync::mpsc::channel;
use std::thread;
use test_support::timeout::{bounded, wait_until};

#[test]
fn remove_and_wait_without_a_call_returns_at_once() {
    let (_event_loop, registry, _model) = model_loop();
    let handle = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let timeout = registry.add_timeout(ms(1), |_| {}).unwrap();
    assert_eq!(registry.remove_handle_and_wait(handle), Ok(()));
    assert_eq!(registry.remove_timeout_and_wait(timeout), Ok(()));
    let gone = Err(RemoveError::NotRegistered(NotRegistered));
    assert_eq!(registry.remove_handle_and_wait(handle), gone);
    assert_eq!(registry.remove_timeout_and_wait(timeout), gone);
}

// The callback continues when the removal has begun, and must have ended when the removal returns.
#[test]
fn remove_and_wait_returns_after_the_last_call() {
    bounded("the test", || {
        let (log, records) = log();
        let loop_thread = EventLoop::new().unwrap().spawn("events").unwrap();
        let registry = loop_thread.registry();
        let (entered, is_entered) = channel();
        let (resume, resumed) = channel::<()>();
        let in_callback = log.clone();
        let id = registry
            .add_timeout(ms(0), move |_| {
                entered.send(()).unwrap();
                resumed.recv().unwrap();
                in_callback.record("the call has ended");
            })
            .unwrap();
        is_entered.recv().unwrap();
        let probe = registry.clone();
        let remover = thread::spawn(move || {
            let removed = registry.remove_timeout_and_wait(id);
            log.record("the removal has returned");
            removed
        });
        // The id is unknown as soon as the removal has begun; its call still waits.
        wait_until("the removal has begun", || {
            probe.update_timeout(id, ms(0)).is_err()
        });
        assert_eq!(records.take(), [""; 0]);
        resume.send(()).unwrap();
        assert_eq!(remover.join().unwrap(), Ok(()));
        assert_eq!(
            records.take(),
            ["the call has ended", "the removal has returned"]
        );
        loop_thread.join().unwrap();
    });
}

#[test]
fn remove_and_wait_inside_itself_is_refused() {
    bounded("the test", || {
        let (log, records) = log();
        let (mut event_loop, registry, model) = model_loop();
        model.set_ready(3, R);
        let in_handle = log.clone();
        registry
            .add_source(ModelSource(3), R, move |event| {
                let refused = event.registry.remove_handle_and_wait(event.id);
                assert_eq!(refused, Err(RemoveError::WouldDeadlock));
                in_handle.record("handle");
            })
            .unwrap();
        registry
            .add_timeout(ms(0), move |event| {
                let refused = event.registry.remove_timeout_and_wait(event.id);
                assert_eq!(refused, Err(RemoveError::WouldDeadlock));
                log.record("timeout");
            })
            .unwrap();
        for _ in 0..2 {
            event_loop.run_once(AT_ONCE).unwrap();
            assert_eq!(records.take(), ["timeout", "handle"]);
        }
    });
}

// At most one call is in flight, so no call of another entry is while this callback runs.
#[test]
fn remove_and_wait_for_another_entry_in_a_callback_works() {
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

// EV-1103: an id of another loop is unknown here, also if its slot and serial are those of the calling entry.
#[test]
fn remove_and_wait_for_another_loops_id_is_not_registered() {
    bounded("the test", || {
        let (log, records) = log();
        let (_other_loop, other_registry, _model) = model_loop();
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
                in_handle.record("handle");
            })
            .unwrap();
        registry
            .add_timeout(ms(0), move |event| {
                let removed = event.registry.remove_timeout_and_wait(foreign_timeout);
                assert_eq!(removed, gone);
                log.record("timeout");
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["timeout", "handle"]);
    });
}
