//! Stops of a loop.

use crate::support::{
    LONG, PollerCall, R, add_recording_handle, log, model_loop, ms, on_each_backend, os_loop,
    probe_loop,
};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use test_support::timeout::bounded;

// EV-907: the turn is completed, and the other callbacks of the turn are called.
#[test]
fn a_callback_stops_the_loop_after_its_turn() {
    bounded("the test", || {
        let (log, records) = log();
        let (mut event_loop, registry, model) = model_loop();
        let stopper = event_loop.stopper();
        model.set_ready(3, R);
        add_recording_handle(&registry, &log, 3, R, "handle");
        let freed = log.on_drop("free");
        registry
            .add_timeout(ms(0), move |event| {
                freed.keep();
                log.record("stop");
                stopper.stop();
                let _ = event.registry.remove_timeout(event.id).unwrap();
            })
            .unwrap();
        event_loop.run().unwrap();
        assert_eq!(records.take(), ["stop", "handle", "free"]);
    });
}

// EV-907: the stop is latched: the run makes one turn that does not wait, and clears the latch.
#[test]
fn stop_before_run_ends_it_after_one_turn() {
    bounded("the test", || {
        let (log, records) = log();
        let (mut event_loop, registry, probe) = probe_loop();
        let stopper = event_loop.stopper();
        probe.model.set_ready(3, R);
        add_recording_handle(&registry, &log, 3, R, "turn");
        stopper.stop();
        stopper.stop();
        event_loop.run().unwrap();
        assert_eq!(records.take(), ["turn"]);
        assert!(
            probe
                .calls()
                .ends_with(&[PollerCall::Wait(Some(Duration::ZERO))])
        );

        // The latch is cleared: the next run continues until it is stopped again.
        let stop_later = stopper.clone();
        registry
            .add_timeout(ms(10), move |_| stop_later.stop())
            .unwrap();
        probe.model.set_ready(3, eventry::Events::NONE);
        event_loop.run().unwrap();
        assert_eq!(probe.calls(), [PollerCall::Wait(Some(ms(10)))]);
    });
}

// EV-902, EV-907: the stop comes just before the loop blocks, when it is lost most easily.
#[test]
fn a_stop_ends_the_sleep() {
    bounded("the test", || {
        let (mut event_loop, _registry, probe) = probe_loop();
        let stopper = event_loop.stopper();
        probe.during_a_wait(move || stopper.stop());
        event_loop.run().unwrap();
        assert_eq!(probe.calls(), [PollerCall::Wait(None), PollerCall::Wake]);
    });
}

// EV-907, on the kernel.
#[test]
fn stop_by_another_thread_at_any_time_ends_the_run() {
    on_each_backend(|backend| {
        let (sender, received) = channel();
        let other = thread::spawn(move || {
            for stopper in received {
                let stopper: eventry::Stopper = stopper;
                stopper.stop();
            }
        });
        for _ in 0..200 {
            let (mut event_loop, _) = os_loop(backend);
            sender.send(event_loop.stopper()).unwrap();
            event_loop.run().unwrap();
        }
        drop(sender);
        other.join().unwrap();
    });
}

// EV-907: only `run` clears the latch; `run_once` does not.
#[test]
fn run_once_leaves_the_stop_for_run() {
    bounded("the test", || {
        let (mut event_loop, _registry, probe) = probe_loop();
        event_loop.stopper().stop();
        event_loop.run_once(LONG).unwrap();
        event_loop.run().unwrap();
        assert_eq!(probe.wakes_and_waits(), (0, 2));
    });
}

// EV-907: the stop of a signal handler is latched like any other, and ends one run.
#[test]
fn a_signals_stop_is_latched_and_ends_one_run() {
    let (mut event_loop, registry, probe) = probe_loop();
    event_loop.signal_stopper().stop();
    event_loop.run().unwrap();
    assert_eq!(
        probe.calls(),
        [PollerCall::Wake, PollerCall::Wait(Some(Duration::ZERO))]
    );

    let stopper = event_loop.stopper();
    registry
        .add_timeout(ms(10), move |_| stopper.stop())
        .unwrap();
    event_loop.run().unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(Some(ms(10)))]);
}

// EV-902, EV-907.
#[test]
fn a_signals_stop_ends_the_sleep() {
    let (mut event_loop, _registry, probe) = probe_loop();
    let stopper = event_loop.signal_stopper();
    probe.during_a_wait(move || stopper.stop());
    event_loop.run().unwrap();
    assert_eq!(probe.calls(), [PollerCall::Wait(None), PollerCall::Wake]);
}
