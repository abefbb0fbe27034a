//! Stopping a loop.

use crate::support::{
    LONG, R, Told, handle_that_notes, log, model_loop, ms, on_each_backend, os_loop, probe_loop,
};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use test_support::timeout::bounded;

// EV-907: the turn is completed, what another callback was called for is not lost.
#[test]
fn a_callback_stops_the_loop_after_its_turn() {
    bounded("the test", || {
        let (log, heard) = log();
        let (mut event_loop, registry, model) = model_loop();
        let stopper = event_loop.stopper();
        model.set_ready(3, R);
        handle_that_notes(&registry, &log, 3, R, "handle");
        let freed = log.on_drop("free");
        registry
            .add_timeout(ms(0), move |event| {
                freed.keep();
                log.note("stop");
                stopper.stop();
                let _ = event.registry.remove_timeout(event.id).unwrap();
            })
            .unwrap();
        event_loop.run().unwrap();
        assert_eq!(heard.take(), ["stop", "handle", "free"]);
    });
}

// EV-907: latched: one turn that does not wait, then the latch is open again.
#[test]
fn a_stop_that_comes_before_the_run_ends_it_after_one_turn() {
    bounded("the test", || {
        let (log, heard) = log();
        let (mut event_loop, registry, probe) = probe_loop();
        let stopper = event_loop.stopper();
        probe.model.set_ready(3, R);
        handle_that_notes(&registry, &log, 3, R, "turn");
        stopper.stop();
        stopper.stop();
        event_loop.run().unwrap();
        assert_eq!(heard.take(), ["turn"]);
        assert!(probe.told().ends_with(&[Told::Wait(Some(Duration::ZERO))]));

        // It was cleared: the next run goes on until it is stopped again.
        let stop_later = stopper.clone();
        registry
            .add_timeout(ms(10), move |_| stop_later.stop())
            .unwrap();
        probe.model.set_ready(3, eventry::Events::NONE);
        event_loop.run().unwrap();
        assert_eq!(probe.told(), [Told::Wait(Some(ms(10)))]);
    });
}

// EV-902, EV-907: at the moment a stop is lost most easily.
#[test]
fn a_stop_ends_the_sleep() {
    bounded("the test", || {
        let (mut event_loop, _registry, probe) = probe_loop();
        let stopper = event_loop.stopper();
        probe.during_a_wait(move || stopper.stop());
        event_loop.run().unwrap();
        assert_eq!(probe.told(), [Told::Wait(None), Told::Wake]);
    });
}

// EV-907, on the kernel.
#[test]
fn another_thread_stops_the_loop_whenever_it_comes() {
    on_each_backend(|backend| {
        let (ask, asked) = channel();
        let other = thread::spawn(move || {
            for stopper in asked {
                let stopper: eventry::Stopper = stopper;
                stopper.stop();
            }
        });
        for _ in 0..200 {
            let (mut event_loop, _) = os_loop(backend);
            ask.send(event_loop.stopper()).unwrap();
            event_loop.run().unwrap();
        }
        drop(ask);
        other.join().unwrap();
    });
}

// EV-907: the latch is `run`'s; a single turn leaves it.
#[test]
fn a_single_turn_does_not_take_the_stop_from_the_run() {
    bounded("the test", || {
        let (mut event_loop, _registry, probe) = probe_loop();
        event_loop.stopper().stop();
        event_loop.run_once(LONG).unwrap();
        event_loop.run().unwrap();
        assert_eq!(probe.wakes_and_waits(), (0, 2));
    });
}

// EV-907: the stop of a signal handler is latched like any other, and counts once.
#[test]
fn a_signals_stop_is_latched_and_ends_one_run() {
    let (mut event_loop, registry, probe) = probe_loop();
    event_loop.signal_stopper().stop();
    event_loop.run().unwrap();
    assert_eq!(probe.told(), [Told::Wake, Told::Wait(Some(Duration::ZERO))]);

    let stopper = event_loop.stopper();
    registry
        .add_timeout(ms(10), move |_| stopper.stop())
        .unwrap();
    event_loop.run().unwrap();
    assert_eq!(probe.told(), [Told::Wait(Some(ms(10)))]);
}

// EV-902, EV-907.
#[test]
fn a_signals_stop_ends_the_sleep() {
    let (mut event_loop, _registry, probe) = probe_loop();
    let stopper = event_loop.signal_stopper();
    probe.during_a_wait(move || stopper.stop());
    event_loop.run().unwrap();
    assert_eq!(probe.told(), [Told::Wait(None), Told::Wake]);
}
