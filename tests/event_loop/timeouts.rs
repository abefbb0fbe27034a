//! The times at which timeouts fire.

use crate::support::{
    AT_ONCE, LONG, PollerCall, add_recording_timeout, log, model_loop, ms, on_each_backend,
    probe_loop,
};
use eventry::poller::{OsPoller, Poller, Registrar};
use eventry::{EventLoop, MonotonicTime};
use std::sync::mpsc::channel;
use std::time::Duration;

fn at(millis: u64) -> MonotonicTime {
    MonotonicTime::ZERO.saturating_add(ms(millis))
}

// EV-801, EV-802: first after one interval, then every interval.
#[test]
fn a_timeout_fires_every_interval() {
    let (mut event_loop, registry, model) = model_loop();
    let (sender, received) = channel();
    let clock = model.clone();
    registry
        .add_timeout(ms(100), move |_| sender.send(clock.now()).unwrap())
        .unwrap();
    for _ in 0..4 {
        event_loop.run_once(None).unwrap();
    }
    let fired: Vec<MonotonicTime> = received.try_iter().collect();
    assert_eq!(fired, [at(100), at(200), at(300), at(400)]);
}

// EV-801
#[test]
fn a_disabled_timeout_never_fires_until_it_is_enabled() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let first = add_recording_timeout(&registry, &log, None, "first");
    let second = add_recording_timeout(&registry, &log, ms(0), "second");
    registry.update_timeout(second, None).unwrap();
    assert_eq!(
        records.after(Duration::from_secs(1_000_000), &mut event_loop, &model),
        [""; 0]
    );
    registry.update_timeout(first, ms(10)).unwrap();
    assert_eq!(records.after(ms(10), &mut event_loop, &model), ["first"]);
}

// EV-801, case O4
#[test]
fn a_zero_timeout_fires_in_every_turn() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    add_recording_timeout(&registry, &log, ms(0), "zero");
    for _ in 0..10 {
        event_loop.run_once(None).unwrap();
    }
    assert_eq!(records.take(), ["zero"; 10]);
    assert_eq!(model.now(), MonotonicTime::ZERO, "the loop must not wait");
}

// EV-803: the next interval counts from the turn that fired, not from the deadline.
#[test]
fn a_late_timeout_counts_its_next_interval_from_the_turn() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    add_recording_timeout(&registry, &log, ms(100), "fired");
    assert_eq!(records.after(ms(130), &mut event_loop, &model), ["fired"]);
    assert_eq!(records.after(ms(99), &mut event_loop, &model), [""; 0]);
    assert_eq!(records.after(ms(1), &mut event_loop, &model), ["fired"]);
}

// EV-804, case O2: an interval of 100 ms, a callback of 250 ms; missed periods are not made up for later.
#[test]
fn missed_periods_are_not_repeated() {
    let (mut event_loop, registry, model) = model_loop();
    let (sender, received) = channel();
    let slow = model.clone();
    registry
        .add_timeout(ms(100), move |_| {
            let now = slow.now();
            sender.send(now).unwrap();
            if now < at(800) {
                slow.advance(ms(250));
            }
        })
        .unwrap();
    while model.now() < at(1_050) {
        event_loop.run_once(None).unwrap();
    }
    let fired: Vec<MonotonicTime> = received.try_iter().collect();
    assert_eq!(fired, [100, 350, 600, 850, 950, 1_050].map(at));
}

// EV-805, case Q: also an update with the same value.
#[test]
fn update_restarts_the_interval() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let id = add_recording_timeout(&registry, &log, ms(100), "fired");
    for _ in 0..12 {
        model.advance(ms(50));
        event_loop.run_once(AT_ONCE).unwrap();
        registry.update_timeout(id, ms(100)).unwrap();
    }
    assert_eq!(records.take(), [""; 0]);
    assert_eq!(records.after(ms(100), &mut event_loop, &model), ["fired"]);
}

// EV-806, case O3: not even by one nanosecond while the loop is awake.
#[test]
fn a_timeout_never_fires_early() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    add_recording_timeout(&registry, &log, ms(50), "fired");
    for step in [
        ms(35),
        ms(14),
        Duration::from_nanos(999_999),
        Duration::ZERO,
    ] {
        assert_eq!(
            records.after(step, &mut event_loop, &model),
            [""; 0],
            "at {:?}",
            model.now()
        );
    }
    assert_eq!(
        records.after(Duration::from_nanos(1), &mut event_loop, &model),
        ["fired"]
    );
}

// EV-806, EV-808: epoll waits in whole milliseconds. Rounding down would fire the timeout early, or make the loop
// spin until the deadline.
#[test]
fn a_fraction_of_a_millisecond_neither_fires_early_nor_spins() {
    const INTERVAL: Duration = Duration::from_micros(5_300);
    on_each_backend(|backend| {
        let poller = OsPoller::new(backend).unwrap();
        let clock = poller.registrar().clone();
        let mut event_loop = EventLoop::with_poller(poller);
        let registry = event_loop.registry();
        let (sender, received) = channel();
        let fired_by = clock.clone();
        let added = clock.now();
        registry
            .add_timeout(INTERVAL, move |_| sender.send(fired_by.now()).unwrap())
            .unwrap();
        let mut turns = 0;
        let fired = loop {
            event_loop.run_once(LONG).unwrap();
            turns += 1;
            if let Ok(fired) = received.try_recv() {
                break fired;
            }
        };
        assert!(
            fired.saturating_duration_since(added) >= INTERVAL,
            "{:?}",
            fired.saturating_duration_since(added)
        );
        assert!(turns <= 3, "{turns} turns for one timeout");
    });
}

// EV-809: the loop waits for the nearest deadline, but not longer than the given timeout.
#[test]
fn the_wait_ends_at_the_nearest_deadline() {
    let (mut event_loop, registry, probe) = probe_loop();
    let near = registry.add_timeout(ms(30), |_| {}).unwrap();
    registry.add_timeout(ms(70), |_| {}).unwrap();
    event_loop.run_once(Some(ms(10))).unwrap();
    event_loop.run_once(None).unwrap();
    let _ = registry.remove_timeout(near).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(None).unwrap();
    assert_eq!(
        probe.calls(),
        [ms(10), ms(20), ms(0), ms(40)].map(|timeout| PollerCall::Wait(Some(timeout)))
    );
}

// EV-810: the longest interval, and one for which only the sum exceeds the last point in time.
#[test]
fn interval_beyond_the_last_time_never_fires() {
    for interval in [Duration::MAX, Duration::from_nanos(u64::MAX - 1_000)] {
        let (log, records) = log();
        let (mut event_loop, registry, model) = model_loop();
        model.advance(Duration::from_secs(3));
        let id = add_recording_timeout(&registry, &log, interval, "fired");
        model.advance(Duration::from_secs(400 * 365 * 86_400));
        event_loop.run_once(AT_ONCE).unwrap();
        registry.update_timeout(id, interval).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), [""; 0], "{interval:?}");
    }
}

// EV-801: the longest interval of libvirt, 24.8 days.
#[test]
fn an_interval_of_weeks_fires_on_time() {
    let interval = ms(i32::MAX as u64);
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    add_recording_timeout(&registry, &log, interval, "fired");
    assert_eq!(
        records.after(interval - ms(1), &mut event_loop, &model),
        [""; 0]
    );
    assert_eq!(records.after(ms(1), &mut event_loop, &model), ["fired"]);
}
