//! What wakes a sleeping loop, what need not, and how often.
//!
//! A change made inside the probe's wait is one that another thread makes after the loop has looked at
//! its table and before it blocks: the moment at which a wake is lost most easily.

use crate::support::{
    AT_ONCE, LONG, OnDrop, R, Told, W, log, ms, on_each_backend, os_loop, probe_loop,
    timeout_that_notes,
};
use eventry::poller::model::ModelSource;
use eventry::poller::{OsPoller, Poller, Registrar};
use eventry::{EventLoop, Events, MonotonicTime};
use std::sync::mpsc::channel;
use std::thread;

// EV-809, EV-902: with nothing to wait for, and with a later deadline.
#[test]
fn a_nearer_deadline_ends_the_sleep() {
    for far in [None, Some(ms(5_000))] {
        let (log, heard) = log();
        let (mut event_loop, registry, probe) = probe_loop();
        registry.add_timeout(far, |_| {}).unwrap();
        let other = registry.clone();
        probe.during_a_wait(move || {
            other
                .add_timeout(ms(20), move |_| log.note("fired"))
                .unwrap();
        });
        event_loop.run_once(None).unwrap();
        assert_eq!(probe.told(), [Told::Wait(far), Told::Wake]);
        assert_eq!(probe.model.now(), MonotonicTime::ZERO, "it slept on");
        event_loop.run_once(None).unwrap();
        assert_eq!(probe.told(), [Told::Wait(Some(ms(20)))]);
        assert_eq!(heard.take(), ["fired"]);
    }
}

// EV-809
#[test]
fn shortening_a_timeout_ends_the_sleep() {
    let (mut event_loop, registry, probe) = probe_loop();
    let id = registry.add_timeout(ms(5_000), |_| {}).unwrap();
    probe.during_a_wait(move || registry.update_timeout(id, ms(20)).unwrap());
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.told(), [Told::Wait(Some(ms(5_000))), Told::Wake]);
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
    assert_eq!(probe.told(), [Told::Wait(Some(ms(100)))]);
}

// EV-614, EV-902: the loop is woken, tells the poller, and serves the handle in its next turn.
#[test]
fn add_or_enable_during_the_sleep_wakes_once() {
    let (log, heard) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    probe.model.set_ready(3, R);
    probe.model.set_ready(4, R);
    let enabled = log.clone();
    let disabled = registry
        .add_source(ModelSource(4), Events::NONE, move |event| {
            enabled.note("enabled");
            let _ = event.registry.remove_handle(event.id).unwrap();
        })
        .unwrap();
    let other = registry.clone();
    probe.during_a_wait(move || {
        other
            .add_source(ModelSource(3), R, move |event| {
                log.note("added");
                let _ = event.registry.remove_handle(event.id).unwrap();
            })
            .unwrap();
    });
    event_loop.run_once(None).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(heard.take(), ["added"]);
    probe.during_a_wait(move || registry.update_handle(disabled, R).unwrap());
    event_loop.run_once(None).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(heard.take(), ["enabled"]);
    assert_eq!(probe.wakes_and_waits(), (2, 4));
}

// EV-704, EV-901: removed while the loop sleeps for ever, and yet freed.
#[test]
fn a_removal_ends_the_sleep_so_that_the_callback_is_freed() {
    let (log, heard) = log();
    let (mut event_loop, registry, probe) = probe_loop();
    let freed = log.on_drop("free");
    let id = registry
        .add_source(ModelSource(3), R, move |_| freed.keep())
        .unwrap();
    probe.during_a_wait(move || {
        let _ = registry.remove_handle(id).unwrap();
    });
    event_loop.run_once(None).unwrap();
    assert_eq!(heard.take(), ["free"]);
    assert_eq!(probe.wakes_and_waits(), (1, 1));
}

// EV-616: unchanged mask, no wake, nothing told to the poller; also where another handle of the
// descriptor wants the same already.
#[test]
fn an_update_that_changes_nothing_costs_nothing() {
    let (mut event_loop, registry, probe) = probe_loop();
    let id = registry.add_source(ModelSource(3), R | W, |_| {}).unwrap();
    let covered = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        probe.told(),
        [Told::Register(3, R | W), Told::Wait(AT_ONCE)]
    );
    probe.during_a_wait(move || {
        registry.update_handle(id, R | W).unwrap();
        registry.update_handle(covered, W).unwrap();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(probe.told(), [Told::Wait(AT_ONCE)]);
}

// EV-901: nobody sleeps: before the first turn, between turns, and in callbacks.
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

// EV-903: any number of changes, one wake, no turn more than needed.
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
    // Nothing is left over that would end the next sleep: 60 s pass in the model.
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
        let (log, heard) = log();
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
                .add_timeout(ms(50), move |_| log.note("fired"))
                .unwrap();
            for _ in 0..500 {
                other.update_timeout(id, ms(50)).unwrap();
            }
            changed.send(()).unwrap();
        });
        let (_, turns) = heard.next(&mut event_loop);
        changer.join().unwrap();
        assert!(turns <= 5, "{turns} turns");
    });
}

// EV-908: what is left behind by callbacks does not end the wait or shorten it.
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
    probe.told();
    let stopper = event_loop.stopper();
    probe.during_a_wait(move || stopper.stop());
    event_loop.run_once(None).unwrap();
    assert_eq!(probe.told(), [Told::Wait(None), Told::Wake]);
}

// EV-513, EV-902: a wake of the kernel's poller is latched, ends one wait, and calls nothing.
#[test]
fn a_wake_that_comes_before_the_wait_ends_it() {
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

// EV-903: the second of them would end the wait for the timeout before that is due.
#[test]
fn several_wakes_end_one_wait() {
    on_each_backend(|backend| {
        let (log, heard) = log();
        let poller = OsPoller::new(backend).unwrap();
        let registrar = poller.registrar().clone();
        let mut event_loop = EventLoop::with_poller(poller);
        for _ in 0..3 {
            registrar.wake().unwrap();
        }
        event_loop.run_once(LONG).unwrap();
        let registry = event_loop.registry();
        timeout_that_notes(&registry, &log, ms(20), "fired");
        event_loop.run_once(LONG).unwrap();
        assert_eq!(heard.take(), ["fired"]);
    });
}

// EV-707, EV-902: a free call before the wait removes another entry; that one is freed in the same turn.
#[test]
fn the_loop_does_not_sleep_on_what_a_free_call_removed() {
    let (log, heard) = log();
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
    assert_eq!(probe.told(), [Told::Wait(AT_ONCE)]);
    assert_eq!(heard.take(), ["free"]);
}
