//! Changes that wake a sleeping loop, changes that do not, and the number of wakes.
//!
//! A change made inside the probe's wait stands for one by another thread after the loop has read its table and
//! before it blocks, which is when a wake is lost most easily.

use crate::support::{
    AT_ONCE, LONG, OnDrop, PollerCall, R, W, add_recording_timeout, log, ms, on_each_backend,
    os_loop, probe_loop,
};
use eventry::poller::model::ModelSource;
use eventry::poller::{OsPoller, Poller, Registrar};
use eventry::{EventLoop, Events, MonotonicTime};
use std::sync::mpsc::channel;
use std::thread;

// EV-809, EV-902: without a deadline, and with a later one.
#[test]
fn a_nearer_deadline_ends_the_sleep() {
    for far in [None, Some(ms(5_000))] {
        let (log, records) = log();
        let (mut event_loop, registry, probe) = probe_loop();
        registry.add_timeout(far, |_| {}).unwrap();
        let other = registry.clone();
        probe.during_a_wait(move || {
            other
                .add_timeout(ms(20), move |_| log.record("fired"))
                .unwrap();
        });
        event_loop.run_once(None).unwrap();
        assert_eq!(probe.calls(), [PollerCall::Wait(far), PollerCall::Wake]);
        assert_eq!(probe.model.now(), MonotonicTime::ZERO, "the sleep went on");
        event_loop.run_once(None).unwrap();
        assert_eq!(probe.calls(), [PollerCall::Wait(Some(ms(20)))]);
        assert_eq!(records.take(), ["fired"]);
    }
}

// EV-809
#[test]
fn shortening_a_timeout_ends_the_sleep() {
    let (mut event_loop, registry, probe) = probe_loop();
    let id = registry.add_timeout(ms(5_000), |_| {}).unwrap();
    probe.during_a_wait(move || registry.update_timeout(id, ms(20)).unwrap());
    event_loop.run_once(None).unwrap();
    assert_eq!(
        probe.calls(),
        [PollerCall::Wait(Some(ms(5_000))), PollerCall::Wake]
    );
}

// EV-809, EV-901
#[test]
fn a_later_deadline_does_not_end_the_sleep() {
    let (mut event_loop, registry, probe) = probe_loop();
    registry.add_timeout(ms(100), |_| {}).unwrap();
    let prolonged = registry.add_timeout(ms(200), |_| {}).unwrap();
    probe.during_a_wait(move || {
        registry.update_timeout(prolonged, ms(500)).unwrap();
        registry.update_timeout(prolonged, None).unwrap();
        registry.add_timeout(ms(100), |_| {}).unwrap();
        registry.add_timeout(None, |_| {}).unwrap();
    });
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(Some(ms(100)))]);
}

// EV-614, EV-902: the loop is woken, passes the change to the poller, and calls the handle in its next turn.
#[test]
fn add_or_enable_during_the_sleep_wakes_once() {
    let (log, records) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    probe.model.set_ready(3, R);
    probe.model.set_ready(4, R);
    let enabled = log.clone();
    let disabled = registry
        .add_source(ModelSource(4), Events::NONE, move |event| {
            enabled.record("enabled");
            let _ = event.registry.remove_handle(event.id).unwrap();
        })
        .unwrap();
    let other = registry.clone();
    probe.during_a_wait(move || {
        other
            .add_source(ModelSource(3), R, move |event| {
                log.record("added");
                let _ = event.registry.remove_handle(event.id).unwrap();
            })
            .unwrap();
    });
    event_loop.run_once(None).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["added"]);
    probe.during_a_wait(move || registry.update_handle(disabled, R).unwrap());
    event_loop.run_once(None).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["enabled"]);
    assert_eq!(probe.wakes_and_waits(), (2, 4));
}

// EV-704, EV-901: an entry that is removed while the loop sleeps without a deadline is freed.
#[test]
fn a_removal_ends_the_sleep_so_that_the_callback_is_freed() {
    let (log, records) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    let freed = log.on_drop("free");
    let id = registry
        .add_source(ModelSource(3), R, move |_| freed.keep())
        .unwrap();
    probe.during_a_wait(move || {
        let _ = registry.remove_handle(id).unwrap();
    });
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["free"]);
    assert_eq!(probe.wakes_and_waits(), (1, 1));
}

// EV-616: several updates that leave the union as it was register the descriptor again once, because its number may be
// another file. An update of a disabled handle that leaves it disabled has no effect.
#[test]
fn update_without_a_change_only_registers_again() {
    let (mut event_loop, registry, probe) = probe_loop();
    let id = registry.add_source(ModelSource(3), R | W, |_| {}).unwrap();
    let covered = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let disabled = registry
        .add_source(ModelSource(4), Events::NONE, |_| {})
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        probe.calls(),
        [PollerCall::Register(3, R | W), PollerCall::Wait(AT_ONCE)]
    );
    let other = registry.clone();
    probe.during_a_wait(move || {
        other.update_handle(id, R | W).unwrap();
        other.update_handle(covered, W).unwrap();
        other.update_handle(covered, W).unwrap();
    });
    event_loop.run_once(None).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        probe.calls(),
        [
            PollerCall::Wait(None),
            PollerCall::Wake,
            PollerCall::Reregister(3, R | W),
            PollerCall::Wait(AT_ONCE),
            PollerCall::Wait(AT_ONCE)
        ]
    );
    registry.update_handle(disabled, Events::NONE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(AT_ONCE)]);
}

// EV-901: the loop is awake before the first turn, between turns, and in callbacks.
#[test]
fn no_wake_is_sent_to_a_loop_that_is_awake() {
    let (mut event_loop, registry, probe) = probe_loop();
    probe.model.set_ready(3, R);
    registry
        .add_source(ModelSource(3), R, |event| {
            let id = event.registry.add_timeout(ms(0), |_| {}).unwrap();
            let _ = event.registry.remove_timeout(id).unwrap();
        })
        .unwrap();
    let id = registry.add_timeout(ms(0), |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    let _ = registry.remove_timeout(id).unwrap();
    event_loop.stopper().stop();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(probe.wakes_and_waits(), (0, 2));
}

// EV-903: any number of changes cause one wake and no additional turn.
#[test]
fn many_changes_during_one_sleep_wake_it_once() {
    let (mut event_loop, registry, probe) = probe_loop();
    let other = registry.clone();
    probe.during_a_wait(move || {
        let id = other.add_timeout(ms(5_000), |_| {}).unwrap();
        for interval in (1_000..1_500).rev() {
            other.update_timeout(id, ms(interval)).unwrap();
        }
        let _ = other.remove_timeout(id).unwrap();
    });
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.wakes_and_waits(), (1, 1));
    // The next sleep is not ended early: the full wait passes in the model.
    event_loop.run_once(LONG).unwrap();
    assert_eq!(
        probe.model.now(),
        MonotonicTime::ZERO.saturating_add(LONG.unwrap())
    );
}

// EV-903, case AO, on the kernel: 501 changes by another thread while a callback runs.
#[test]
fn many_changes_during_a_callback_cost_no_extra_turns() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (started, has_started) = channel();
        let (changed, was_changed) = channel::<()>();
        registry
            .add_timeout(ms(0), move |event| {
                started.send(()).unwrap();
                was_changed.recv().unwrap();
                event.registry.update_timeout(event.id, None).unwrap();
            })
            .unwrap();
        let other = registry.clone();
        let changer = thread::spawn(move || {
            has_started.recv().unwrap();
            let id = other
                .add_timeout(ms(50), move |_| log.record("fired"))
                .unwrap();
            for _ in 0..500 {
                other.update_timeout(id, ms(50)).unwrap();
            }
            changed.send(()).unwrap();
        });
        let (_, turns) = records.next(&mut event_loop);
        changer.join().unwrap();
        assert!(turns <= 5, "{turns} turns");
    });
}

// EV-908: entries that callbacks removed or disabled neither end nor shorten the wait.
#[test]
fn an_idle_loop_sleeps_without_end() {
    let (mut event_loop, registry, probe) = probe_loop();
    for fd in 3..6 {
        probe.model.set_ready(fd, Events::ALL);
    }
    registry
        .add_source(ModelSource(3), R, |event| {
            let _ = event.registry.remove_handle(event.id).unwrap();
        })
        .unwrap();
    registry
        .add_source(ModelSource(4), R, |event| {
            event
                .registry
                .update_handle(event.id, Events::NONE)
                .unwrap();
        })
        .unwrap();
    registry
        .add_source(ModelSource(5), Events::NONE, |_| {})
        .unwrap();
    registry
        .add_timeout(ms(0), |event| {
            event.registry.update_timeout(event.id, None).unwrap();
        })
        .unwrap();
    registry
        .add_timeout(ms(0), |event| {
            let _ = event.registry.remove_timeout(event.id).unwrap();
        })
        .unwrap();
    event_loop.run_once(None).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    probe.calls();
    let stopper = event_loop.stopper();
    probe.during_a_wait(move || stopper.stop());
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(None), PollerCall::Wake]);
}

// EV-513, EV-902: a wake of the kernel's poller is latched, ends one wait, and causes no call.
#[test]
fn wake_before_the_wait_ends_it() {
    on_each_backend(|backend| {
        let poller = OsPoller::new(backend).unwrap();
        let registrar = poller.registrar().clone();
        let mut event_loop = EventLoop::with_poller(poller);
        registrar.wake().unwrap();
        registrar.wake().unwrap();
        let before = registrar.now();
        event_loop.run_once(LONG).unwrap();
        assert!(registrar.now().saturating_duration_since(before) < LONG.unwrap());
    });
}

// EV-903: a second latched wake would end the wait before the timeout is due.
#[test]
fn several_wakes_end_one_wait() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let poller = OsPoller::new(backend).unwrap();
        let registrar = poller.registrar().clone();
        let mut event_loop = EventLoop::with_poller(poller);
        for _ in 0..3 {
            registrar.wake().unwrap();
        }
        event_loop.run_once(LONG).unwrap();
        let registry = event_loop.registry();
        add_recording_timeout(&registry, &log, ms(20), "fired");
        event_loop.run_once(LONG).unwrap();
        assert_eq!(records.take(), ["fired"]);
    });
}

// EV-707, EV-902: a free call before the wait removes another entry; that one is freed in the same turn.
#[test]
fn entry_removed_by_a_free_call_is_freed_without_sleep() {
    let (log, records) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    let freed = log.on_drop("free");
    let other = registry.add_timeout(None, move |_| freed.keep()).unwrap();
    let inner = registry.clone();
    let on_drop = OnDrop(move || {
        let _ = inner.remove_timeout(other).unwrap();
    });
    let id = registry.add_timeout(None, move |_| on_drop.keep());
    let _ = registry.remove_timeout(id.unwrap()).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(AT_ONCE)]);
    assert_eq!(records.take(), ["free"]);
}
