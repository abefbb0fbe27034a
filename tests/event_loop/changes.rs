//! Changes that callbacks make to their own entry, and to others that are ready but not yet called.
//!
//! The model poller reports descriptors in ascending order, so a handle on 3 is called before one on 4.

use crate::support::{AT_ONCE, H, Log, ProbePoller, R, W, log, model_loop, ms};
use eventry::poller::model::{Model, ModelSource};
use eventry::table::Removal;
use eventry::{EventLoop, Events, HandleId, Registry, TimeoutId};

type ModelRegistry = Registry<ProbePoller>;

/// Returns a loop with three readable handles on 3, 4 and 5 that record their number and events. The first
/// one applies `change` to the second one, once.
fn three_handles(
    log: &Log,
    change: impl FnOnce(&ModelRegistry, HandleId) + Send + 'static,
) -> (EventLoop<ProbePoller>, ModelRegistry, Model) {
    let (event_loop, registry, model) = model_loop();
    let (send, target) = std::sync::mpsc::channel();
    let mut change = Some(change);
    for fd in [3, 4, 5] {
        model.set_ready(fd, R);
    }
    let first = log.clone();
    registry
        .add_source(ModelSource(3), R, move |event| {
            first.record("3");
            if let Some(change) = change.take() {
                change(event.registry, target.recv().unwrap());
            }
        })
        .unwrap();
    for fd in [4, 5] {
        let log = log.clone();
        let freed = log.on_drop(&format!("free {fd}"));
        let id = registry
            .add_source(ModelSource(fd), R, move |event| {
                freed.keep();
                log.record(format!("{fd} {:?}", event.events));
            })
            .unwrap();
        send.send(id).unwrap();
    }
    (event_loop, registry, model)
}

// EV-601, case G; EV-707: freed at the end of the same turn.
#[test]
fn a_ready_handle_that_another_removes_is_not_called() {
    let (log, records) = log();
    let (mut event_loop, ..) = three_handles(&log, |registry, target| {
        assert_eq!(registry.remove_handle(target), Ok(Removal::Idle));
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["3", "5 READABLE", "free 4"]);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["3", "5 READABLE"]);
}

// EV-602, case H: only that one is skipped.
#[test]
fn a_ready_handle_that_another_disables_is_not_called() {
    let (log, records) = log();
    let (mut event_loop, ..) = three_handles(&log, |registry, target| {
        registry.update_handle(target, Events::NONE).unwrap();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["3", "5 READABLE"]);
}

// EV-603, case I
#[test]
fn ready_handle_with_a_changed_interest_is_not_called() {
    let (log, records) = log();
    let (mut event_loop, _registry, model) = three_handles(&log, |registry, target| {
        registry.update_handle(target, W).unwrap();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["3", "5 READABLE"]);
    model.set_ready(4, R | W);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["3", "4 WRITABLE", "5 READABLE"]);
}

// EV-604
#[test]
fn ready_handle_with_a_wider_interest_gets_pending_events() {
    let (log, records) = log();
    let (mut event_loop, ..) = three_handles(&log, |registry, target| {
        registry.update_handle(target, R | W).unwrap();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["3", "4 READABLE", "5 READABLE"]);
}

// EV-605, case K, and EV-606, case K2: the number is reused; in the second round the handle is disabled first.
#[test]
fn reused_descriptor_number_gets_no_earlier_events() {
    for disable_first in [false, true] {
        let (log, records) = log();
        let new_log = log.clone();
        let (mut event_loop, _registry, model) = three_handles(&log, move |registry, target| {
            if disable_first {
                registry.update_handle(target, Events::NONE).unwrap();
            }
            let _ = registry.remove_handle(target).unwrap();
            let recorder = move |_: eventry::registry::HandleEvent<'_, _, _>| new_log.record("new");
            registry.add_source(ModelSource(4), R, recorder).unwrap();
        });
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["3", "5 READABLE", "free 4"]);
        model.set_ready(4, Events::NONE);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["3", "5 READABLE"]);
        model.set_ready(4, R);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["3", "new", "5 READABLE"]);
    }
}

/// Returns a loop on which two timeouts are due; the first one applies `change` to the second one, once.
fn two_due_timeouts(
    log: &Log,
    change: impl FnOnce(&ModelRegistry, TimeoutId) + Send + 'static,
) -> (EventLoop<ProbePoller>, ModelRegistry, Model) {
    let (event_loop, registry, model) = model_loop();
    let (send, target) = std::sync::mpsc::channel();
    let mut change = Some(change);
    let first = registry.add_timeout(ms(10), move |event| {
        if let Some(change) = change.take() {
            change(event.registry, target.recv().unwrap());
        }
    });
    first.unwrap();
    let log = log.clone();
    let second = registry.add_timeout(ms(10), move |_| log.record("second"));
    send.send(second.unwrap()).unwrap();
    model.advance(ms(10));
    (event_loop, registry, model)
}

// EV-607: the new deadline counts from the update.
#[test]
fn due_timeout_prolonged_by_another_fires_later() {
    let (log, records) = log();
    let (mut event_loop, _registry, model) = two_due_timeouts(&log, |registry, target| {
        registry.update_timeout(target, ms(30)).unwrap();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.after(ms(29), &mut event_loop, &model), [""; 0]);
    assert_eq!(records.after(ms(1), &mut event_loop, &model), ["second"]);
}

// EV-608
#[test]
fn a_timeout_set_to_zero_in_a_turn_fires_in_the_next() {
    let (log, records) = log();
    let (mut event_loop, ..) = two_due_timeouts(&log, |registry, target| {
        registry.update_timeout(target, ms(0)).unwrap();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), [""; 0]);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["second"]);
}

// EV-609, case AV
#[test]
fn a_due_timeout_that_another_disables_or_removes_does_not_fire() {
    for remove in [false, true] {
        let (log, records) = log();
        let (mut event_loop, _registry, model) = two_due_timeouts(&log, move |registry, target| {
            if remove {
                assert_eq!(registry.remove_timeout(target), Ok(Removal::Idle));
            } else {
                registry.update_timeout(target, None).unwrap();
            }
        });
        for _ in 0..3 {
            event_loop.run_once(AT_ONCE).unwrap();
            model.advance(ms(100));
        }
        assert_eq!(records.take(), [""; 0]);
    }
}

// EV-610, cases G2, L and L2: the callback runs to its end, its captures are alive until then.
#[test]
fn a_callback_may_remove_itself_and_runs_to_its_end() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let (handle, freed) = (log.clone(), log.on_drop("free handle"));
    registry
        .add_source(ModelSource(3), R, move |event| {
            freed.keep();
            assert_eq!(
                event.registry.remove_handle(event.id),
                Ok(Removal::InFlight)
            );
            assert!(event.registry.remove_handle(event.id).is_err());
            assert!(event.registry.update_handle(event.id, W).is_err());
            handle.record("end of handle");
        })
        .unwrap();
    let freed = log.on_drop("free timeout");
    registry
        .add_timeout(ms(0), move |event| {
            freed.keep();
            let removed = event.registry.remove_timeout(event.id);
            assert_eq!(removed, Ok(Removal::InFlight));
            assert!(event.registry.remove_timeout(event.id).is_err());
            assert!(event.registry.update_timeout(event.id, ms(0)).is_err());
            log.record("end of timeout");
        })
        .unwrap();
    for _ in 0..3 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(
        records.take(),
        [
            "end of timeout",
            "end of handle",
            "free timeout",
            "free handle"
        ]
    );
}

// EV-611
#[test]
fn handle_that_updates_itself_gets_the_new_interest() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R | W);
    let mut interests = [W, H].into_iter();
    registry
        .add_source(ModelSource(3), R, move |event| {
            log.record(format!("{:?}", event.events));
            let next = interests.next().unwrap_or(Events::NONE);
            event.registry.update_handle(event.id, next).unwrap();
        })
        .unwrap();
    for _ in 0..3 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(records.take(), ["READABLE", "WRITABLE"]);
}

// EV-611, case AY: an update during the call replaces the deadline that was set before the call.
#[test]
fn a_timeout_that_updates_itself_counts_from_the_update() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let slow = model.clone();
    registry
        .add_timeout(ms(50), move |event| {
            log.record("fired");
            slow.advance(ms(7));
            event.registry.update_timeout(event.id, ms(200)).unwrap();
        })
        .unwrap();
    assert_eq!(records.after(ms(50), &mut event_loop, &model), ["fired"]);
    assert_eq!(records.after(ms(199), &mut event_loop, &model), [""; 0]);
    assert_eq!(records.after(ms(1), &mut event_loop, &model), ["fired"]);
}

// EV-612: the table grows and its entries move while the callback runs.
#[test]
fn callback_adds_many_entries() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    registry
        .add_source(ModelSource(3), R, move |event| {
            for fd in 100..1_100 {
                let log = log.clone();
                let recorder =
                    move |_: eventry::registry::HandleEvent<'_, _, _>| log.record("called");
                event
                    .registry
                    .add_source(ModelSource(fd), R, recorder)
                    .unwrap();
                event.registry.add_timeout(None, |_| {}).unwrap();
            }
            let _ = event.registry.remove_handle(event.id).unwrap();
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    for fd in 100..1_100 {
        model.set_ready(fd, R);
    }
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take().len(), 1_000);
}
