//! Delivery of warnings. The rules that cause warnings are tested in their own modules.

use crate::support::{
    AT_ONCE, H, ProbePoller, R, W, model_loop, ms, on_each_backend, os_loop, streams,
};
use eventry::diagnostics::{Warning, WarningLimits};
use eventry::poller::model::ModelSource;
use eventry::registry::Next;
use eventry::{CallbackId, EventLoop, Registry};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Collects the warnings of `event_loop`.
fn warnings<P: eventry::poller::Poller>(event_loop: &mut EventLoop<P>) -> Receiver<Warning> {
    let (sender, received) = channel();
    event_loop.set_on_warning(move |warning| {
        let _ = sender.send(*warning);
    });
    received
}

fn limits() -> WarningLimits {
    WarningLimits::default().with_no_progress(50)
}

#[test]
fn slow_callback_is_reported_and_kept_as_the_longest() {
    let (mut event_loop, registry, model) = model_loop();
    let received = warnings(&mut event_loop);
    let slow = model.clone();
    let id = registry
        .add_timeout(ms(0), move |_| slow.advance(ms(130)))
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    let callback = CallbackId::Timeout(id);
    let took = ms(130);
    assert_eq!(
        received.try_recv(),
        Ok(Warning::SlowCallback { callback, took })
    );
    let stats = registry.stats();
    assert_eq!((stats.longest_callback, stats.longest_turn), (took, took));
    let _ = registry.remove_timeout(id).unwrap();

    // A shorter call is neither reported nor kept.
    let quick = model.clone();
    model.set_ready(3, R);
    registry
        .add_source(ModelSource(3), R, move |_| quick.advance(ms(99)))
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(received.try_iter().count(), 0);
    assert_eq!(registry.stats().longest_callback, took);
}

#[test]
fn slow_drop_is_reported() {
    let (mut event_loop, registry, model) = model_loop();
    let received = warnings(&mut event_loop);
    let slow = crate::support::OnDrop(move || model.advance(ms(500)));
    registry
        .add_timeout(ms(0), move |_| {
            slow.keep();
            Next::Remove
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    let callback = CallbackId::Free;
    let took = ms(500);
    assert_eq!(
        received.try_recv(),
        Ok(Warning::SlowCallback { callback, took })
    );
}

// EV-309: an unhandled hang-up calls the handle in every turn, and is reported once.
#[test]
fn unhandled_hangup_is_reported_once() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        event_loop.set_warning_limits(limits());
        let received = warnings(&mut event_loop);
        let (near, far) = streams();
        drop(far);
        let id = registry.add_handle(near, R, |_| {}).unwrap();
        for _ in 0..50 {
            event_loop.run_once(None).unwrap();
        }
        assert_eq!(received.try_iter().count(), 0);
        for _ in 0..200 {
            event_loop.run_once(None).unwrap();
        }
        let received: Vec<Warning> = received.try_iter().collect();
        let [
            Warning::NoProgress {
                handle,
                events,
                turns,
            },
        ] = received[..]
        else {
            panic!("{received:?}");
        };
        assert_eq!((handle, events, turns), (id, R | H, 50));
    });
}

// EV-309: a callback that disables or updates its handle makes progress.
#[test]
fn callback_that_changes_its_handle_is_not_reported() {
    let (mut event_loop, registry, model) = model_loop();
    event_loop.set_warning_limits(limits());
    let received = warnings(&mut event_loop);
    model.set_ready(3, R | W | H);
    let mut interest = R;
    registry
        .add_source(ModelSource(3), R, move |event| {
            interest = if interest == R { R | W } else { R };
            event.registry.update_handle(event.id, interest).unwrap();
        })
        .unwrap();
    for _ in 0..500 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(received.try_iter().count(), 0);
}

/// Returns a loop with a timeout that has been due for this long.
fn due_since(waited: Duration) -> (EventLoop<ProbePoller>, Registry<ProbePoller>) {
    let (event_loop, registry, model) = model_loop();
    registry.add_timeout(ms(5), |_| {}).unwrap();
    model.advance(ms(5) + waited);
    (event_loop, registry)
}

#[test]
fn overdue_work_without_a_running_loop_warns_on_next_call() {
    let waited = Duration::from_secs(11);
    let (mut event_loop, registry) = due_since(waited);
    let received = warnings(&mut event_loop);
    registry.add_timeout(ms(1_000), |_| {}).unwrap();
    assert_eq!(received.try_recv(), Ok(Warning::NotRunning { waited }));
    assert_eq!(registry.stats().overdue, waited);
    assert_eq!(received.try_iter().count(), 0, "the warning is repeated");

    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(registry.stats().overdue, Duration::ZERO);
}

// Calls that need no time read the clock only now and then.
#[test]
fn changes_of_handles_report_overdue_work() {
    let waited = Duration::from_secs(11);
    let (mut event_loop, registry) = due_since(waited);
    let received = warnings(&mut event_loop);
    for _ in 0..64 {
        let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
        let _ = registry.remove_handle(id).unwrap();
    }
    assert_eq!(received.try_recv(), Ok(Warning::NotRunning { waited }));
}

#[test]
fn work_delayed_by_a_callback_is_reported() {
    let (mut event_loop, registry, model) = model_loop();
    let received = warnings(&mut event_loop);
    let world = model.clone();
    registry
        .add_timeout(ms(20), move |event| {
            // The timeout becomes due while this callback runs; any thread may detect it.
            event.registry.add_timeout(ms(0), |_| {}).unwrap();
            world.advance(Duration::from_secs(10));
            assert_eq!(event.registry.stats().overdue, Duration::from_secs(10));
        })
        .unwrap();
    event_loop.run_once(None).unwrap();
    let waited = Duration::from_secs(10);
    assert_eq!(received.try_recv(), Ok(Warning::Blocked { waited }));
}

#[test]
fn loop_that_sleeps_in_time_is_not_reported() {
    let (mut event_loop, registry, model) = model_loop();
    let received = warnings(&mut event_loop);
    registry
        .add_timeout(Duration::from_secs(1_000), |_| {})
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.advance(Duration::from_secs(900));
    let stats = registry.stats();
    assert_eq!(
        (stats.overdue, received.try_iter().count()),
        (Duration::ZERO, 0)
    );
}

// EV-510: the hook is called without the lock.
#[test]
fn the_hook_may_use_the_registry() {
    let (mut event_loop, registry, model) = model_loop();
    let (of_hook, slow) = (registry.clone(), model.clone());
    let id = registry
        .add_timeout(ms(0), move |_| slow.advance(ms(200)))
        .unwrap();
    event_loop.set_on_warning(move |_| {
        let _ = of_hook.remove_timeout(id);
        let _ = of_hook.stats();
    });
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert!(registry.is_idle());
}

#[test]
fn builder_sets_warning_limits_and_hook() {
    let (sender, received) = channel();
    let builder = EventLoop::builder().warning_limits(limits());
    let mut event_loop = builder
        .on_warning(move |warning| sender.send(*warning).unwrap())
        .build()
        .unwrap();
    let (near, far) = streams();
    drop(far);
    let registry = event_loop.registry();
    registry.add_handle(near, R, |_| {}).unwrap();
    for _ in 0..60 {
        event_loop.run_once(None).unwrap();
    }
    let received: Vec<Warning> = received.try_iter().collect();
    let expected = matches!(received[..], [Warning::NoProgress { turns: 50, .. }]);
    assert!(expected, "{received:?}");
}

#[test]
fn warning_names_its_cause_and_duration() {
    let (_event_loop, registry, _model) = model_loop();
    let id = registry.add_timeout(None, |_| {}).unwrap();
    let handle = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let (took, waited) = (ms(130), ms(2_000));
    let slow = |callback| Warning::SlowCallback { callback, took };
    let (events, turns) = (R | H, 50);
    for (warning, text) in [
        (
            slow(CallbackId::Timeout(id)),
            format!("the callback of {id} took 130ms"),
        ),
        (
            slow(CallbackId::Free),
            "the drop of removed callbacks took 130ms".to_owned(),
        ),
        (
            Warning::SlowTurn { took },
            "the callbacks of one turn took 130ms together".to_owned(),
        ),
        (
            Warning::NoProgress {
                handle,
                events,
                turns,
            },
            format!(
                "the callback of {handle} was called in 50 turns in a row, with {events:?} last"
            ),
        ),
        (
            Warning::NotRunning { waited },
            "the loop is not running: work has waited for 2s".to_owned(),
        ),
        (
            Warning::Blocked { waited },
            "a callback blocks the loop: work has waited for 2s".to_owned(),
        ),
    ] {
        assert_eq!(warning.to_string(), text);
    }
}
