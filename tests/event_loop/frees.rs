//! Removal of entries, and the time at which their callbacks are dropped.

use crate::support::{AT_ONCE, OnDrop, R, log, model_loop, ms};
use eventry::poller::model::ModelSource;
use eventry::table::{NotRegistered, Refused, Removal};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ThreadId};
use test_support::timeout::bounded;

// EV-701
#[test]
fn only_the_first_removal_succeeds() {
    let (_event_loop, registry, _model) = model_loop();
    let handle = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let timeout = registry.add_timeout(ms(1), |_| {}).unwrap();
    assert_eq!(registry.remove_handle(handle), Ok(Removal::Idle));
    assert_eq!(registry.remove_handle(handle), Err(NotRegistered));
    assert_eq!(registry.remove_timeout(timeout), Ok(Removal::Idle));
    assert_eq!(registry.remove_timeout(timeout), Err(NotRegistered));
}

// EV-703: even if events are pending when it is removed on the loop's thread.
#[test]
fn a_removed_entry_is_never_called() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let (called, timeout_called) = (log.clone(), log.clone());
    let handle = registry.add_source(ModelSource(3), R, move |_| called.record("handle"));
    let timeout = registry.add_timeout(ms(1), move |_| timeout_called.record("timeout"));
    model.advance(ms(5));
    let _ = registry.remove_handle(handle.unwrap()).unwrap();
    let _ = registry.remove_timeout(timeout.unwrap()).unwrap();
    for _ in 0..3 {
        event_loop.run_once(AT_ONCE).unwrap();
        model.advance(ms(5));
    }
    assert_eq!(records.take(), [""; 0]);
}

// EV-704, EV-707, EV-708: freed once, at the start of the next turn, and not during the removal.
#[test]
fn entry_removed_between_turns_is_freed_once_by_the_next() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let (handle_freed, timeout_freed) = (log.on_drop("handle"), log.on_drop("timeout"));
    let handle = registry.add_source(ModelSource(3), R, move |_| handle_freed.keep());
    let timeout = registry.add_timeout(ms(1), move |_| timeout_freed.keep());
    let _ = registry.remove_handle(handle.unwrap()).unwrap();
    let _ = registry.remove_timeout(timeout.unwrap()).unwrap();
    assert_eq!(records.take(), [""; 0], "freed during the removal");
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["handle", "timeout"]);
    event_loop.run_once(AT_ONCE).unwrap();
    drop(event_loop);
    assert_eq!(records.take(), [""; 0], "freed twice");
}

// EV-705: another thread removes the entry while its callback runs.
#[test]
fn entry_removed_while_running_is_freed_after_the_call() {
    bounded("the test", || {
        let (log, records) = log();
        let (mut event_loop, registry, model) = model_loop();
        model.set_ready(3, R);
        let (started, has_started) = channel();
        let (removed, was_removed) = channel();
        let (recorder, freed) = (log.clone(), log.on_drop("free"));
        let id = registry
            .add_source(ModelSource(3), R, move |_| {
                freed.keep();
                started.send(()).unwrap();
                was_removed.recv().unwrap();
                recorder.record("last call ends");
            })
            .unwrap();
        let remover = thread::spawn(move || {
            has_started.recv().unwrap();
            // EV-708: the removal returns while the callback runs, and reports that.
            assert_eq!(registry.remove_handle(id), Ok(Removal::InFlight));
            log.record("removed");
            removed.send(()).unwrap();
        });
        event_loop.run_once(AT_ONCE).unwrap();
        remover.join().unwrap();
        assert_eq!(records.take(), ["removed", "last call ends", "free"]);
    });
}

// EV-706: the loop's thread frees, also if another thread removed the entry; a loop that is dropped frees on the
// thread that drops it.
#[test]
fn removed_entry_is_freed_by_the_loops_thread() {
    let (mut event_loop, registry, _model) = model_loop();
    let (sender, received) = channel();
    let sends_thread =
        |sender: Sender<ThreadId>| OnDrop(move || sender.send(thread::current().id()).unwrap());
    let sends = sends_thread(sender.clone());
    let removed = registry.add_timeout(ms(1), move |_| sends.keep()).unwrap();
    let sends = sends_thread(sender);
    registry.add_timeout(ms(1), move |_| sends.keep()).unwrap();

    let remover = thread::spawn(move || registry.remove_timeout(removed).unwrap());
    assert_eq!(remover.join().unwrap(), Removal::Idle);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(received.try_recv(), Ok(thread::current().id()));

    let dropper = thread::spawn(move || drop(event_loop));
    let dropped_by = dropper.thread().id();
    dropper.join().unwrap();
    assert_eq!(received.try_recv(), Ok(dropped_by));
}

// EV-706: after a stop, frees wait for the next run.
#[test]
fn entry_removed_after_a_stop_is_freed_by_the_next_run() {
    bounded("the test", || {
        let (log, records) = log();
        let (mut event_loop, registry, _model) = model_loop();
        let stopper = event_loop.stopper();
        stopper.stop();
        event_loop.run().unwrap();
        let freed = log.on_drop("free");
        let id = registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
        let _ = registry.remove_timeout(id).unwrap();
        assert_eq!(records.take(), [""; 0]);
        stopper.stop();
        event_loop.run().unwrap();
        assert_eq!(records.take(), ["free"]);
    });
}

// EV-707, case N: a loop that is always busy also frees in the same turn.
#[test]
fn a_busy_loop_frees_in_the_turn_of_the_removal() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    registry
        .add_timeout(ms(0), move |event| {
            let freed = log.on_drop("free");
            let added = event.registry.add_timeout(ms(0), move |_| freed.keep());
            let _ = event.registry.remove_timeout(added.unwrap()).unwrap();
        })
        .unwrap();
    for _ in 0..10 {
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["free"]);
    }
}

// EV-709, case M: a free call adds, updates and removes entries. EV-707: an entry that it removes is freed by the
// next turn at the latest.
#[test]
fn a_free_call_may_use_the_registry() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let freed = log.on_drop("free of the other");
    let other = registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
    let inner = registry.clone();
    let (added, was_added) = channel();
    let on_drop = OnDrop(move || {
        let handle = inner.add_source(ModelSource(3), R, |_| {}).unwrap();
        inner.update_handle(handle, crate::support::W).unwrap();
        inner.update_timeout(other, ms(2)).unwrap();
        assert_eq!(inner.remove_timeout(other), Ok(Removal::Idle));
        log.record("free");
        added.send(handle).unwrap();
    });
    let id = registry
        .add_timeout(ms(1), move |_| on_drop.keep())
        .unwrap();
    let _ = registry.remove_timeout(id).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["free", "free of the other"]);
    let handle = was_added.try_recv().unwrap();
    assert_eq!(registry.remove_handle(handle), Ok(Removal::Idle));
}

// EV-710, case e.c-3
#[test]
fn removed_entries_are_freed_in_the_order_of_removal() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let handles = [1, 2, 3].map(|fd| {
        let freed = log.on_drop(&format!("h{fd}"));
        let added = registry.add_source(ModelSource(fd), R, move |_| freed.keep());
        added.unwrap()
    });
    let freed = log.on_drop("t10");
    let timeout = registry.add_timeout(ms(1), move |_| freed.keep()).unwrap();
    let _ = registry.remove_handle(handles[2]).unwrap();
    let _ = registry.remove_timeout(timeout).unwrap();
    let _ = registry.remove_handle(handles[0]).unwrap();
    let _ = registry.remove_handle(handles[1]).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["h3", "t10", "h1", "h2"]);
}

// EV-714: registered, ready and removed entries alike.
#[test]
fn dropping_the_loop_frees_everything_once_and_calls_nothing() {
    let (log, records) = log();
    let (event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    for (fd, name) in [(3, "free registered"), (4, "free removed")] {
        let (called, freed) = (log.clone(), log.on_drop(name));
        let id = registry.add_source(ModelSource(fd), R, move |_| {
            freed.keep();
            called.record("called");
        });
        if fd == 4 {
            let _ = registry.remove_handle(id.unwrap()).unwrap();
        }
    }
    let (called, freed) = (log.clone(), log.on_drop("free timeout"));
    let timeout = registry.add_timeout(ms(0), move |_| {
        freed.keep();
        called.record("called");
    });
    drop(event_loop);
    let mut freed = records.take();
    freed.sort();
    assert_eq!(freed, ["free registered", "free removed", "free timeout"]);

    // The registry outlives the loop, and refuses additions.
    assert_eq!(
        registry.remove_timeout(timeout.unwrap()),
        Err(NotRegistered)
    );
    let freed_uncalled = log.on_drop("free refused");
    let refused = registry.add_timeout(ms(0), move |_| freed_uncalled.keep());
    let error = refused.unwrap_err();
    assert_eq!(error.reason, Refused::Closed);
    assert_eq!(records.take(), [""; 0]);
    drop(error);
    assert_eq!(records.take(), ["free refused"]);
}

// EV-714: a free call during the drop of the loop may use the registry, which refuses additions.
#[test]
fn free_during_loop_drop_finds_the_registry_closed() {
    let (event_loop, registry, _model) = model_loop();
    let inner = registry.clone();
    let (sender, received) = channel();
    let on_drop = OnDrop(move || {
        sender
            .send(inner.add_timeout(ms(1), |_| {}).is_err())
            .unwrap();
    });
    registry
        .add_timeout(ms(1), move |_| on_drop.keep())
        .unwrap();
    drop(event_loop);
    assert_eq!(received.try_recv(), Ok(true));
}
