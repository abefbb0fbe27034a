//! What a loop warns of. The rules are tested with the parts that know them; this is about who is told.

use crate::support::{
    AT_ONCE, H, ProbePoller, R, W, model_loop, ms, on_each_backend, os_loop, streams,
};
use eventry::diagnostics::{Warning, WarningLimits};
use eventry::poller::model::ModelSource;
use eventry::registry::Next;
use eventry::{CallbackId, EventLoop, Registry};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Collects what `event_loop` warns of.
fn warnings<P: eventry::poller::Poller>(event_loop: &mut EventLoop<P>) -> Receiver<Warning> {
    let (tell, told) = channel();
    event_loop.set_on_warning(move |warning| {
        let _ = tell.send(*warning);
    });
    told
}

fn limits() -> WarningLimits {
    WarningLimits::default().with_no_progress(50)
}

#[test]
fn a_slow_callback_is_warned_of_and_kept_as_the_longest() {
    let (mut event_loop, registry, model) = model_loop();
    let told = warnings(&mut event_loop);
    let slow = model.clone();
    let id = registry
        .add_timeout(ms(0), move |_| slow.advance(ms(130)))
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    let callback = CallbackId::Timeout(id);
    let took = ms(130);
    assert_eq!(
        told.try_recv(),
        Ok(Warning::SlowCallback { callback, took })
    );
    let stats = registry.stats();
    assert_eq!((stats.longest_callback, stats.longest_turn), (took, took));
    let _ = registry.remove_timeout(id).unwrap();

    // A shorter one is neither.
    let quick = model.clone();
    model.set_ready(3, R);
    registry
        .add_source(ModelSource(3), R, move |_| quick.advance(ms(99)))
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(told.try_iter().count(), 0);
    assert_eq!(registry.stats().longest_callback, took);
}

#[test]
fn a_slow_drop_is_warned_of() {
    let (mut event_loop, registry, model) = model_loop();
    let told = warnings(&mut event_loop);
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
        told.try_recv(),
        Ok(Warning::SlowCallback { callback, took })
    );
}

// EV-309: a hang-up that nobody handles calls the handle in every turn, and is warned of once.
#[test]
fn unhandled_hangup_is_warned_of_once() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        event_loop.set_warning_limits(limits());
        let told = warnings(&mut event_loop);
        let (near, far) = streams();
        drop(far);
        let id = registry.add_handle(near, R, |_| {}).unwrap();
        for _ in 0..50 {
            event_loop.run_once(None).unwrap();
        }
        assert_eq!(told.try_iter().count(), 0);
        for _ in 0..200 {
            event_loop.run_once(None).unwrap();
        }
        let told: Vec<Warning> = told.try_iter().collect();
        let [
            Warning::NoProgress {
                handle,
                events,
                turns,
            },
        ] = told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!((handle, events, turns), (id, R | H, 50));
    });
}

// EV-309: whoever disables or updates its handle has done something.
#[test]
fn a_callback_that_changes_its_handle_is_not_warned_of() {
    let (mut event_loop, registry, model) = model_loop();
    event_loop.set_warning_limits(limits());
    let told = warnings(&mut event_loop);
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
    assert_eq!(told.try_iter().count(), 0);
}

/// A loop with a timeout that has been due for this long.
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
    let told = warnings(&mut event_loop);
    registry.add_timeout(ms(1_000), |_| {}).unwrap();
    assert_eq!(told.try_recv(), Ok(Warning::NotRunning { waited }));
    assert_eq!(registry.stats().overdue, waited);
    assert_eq!(told.try_iter().count(), 0, "it is said once");

    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(registry.stats().overdue, Duration::ZERO);
}

// Calls that do not read the clock are many before one of them looks.
#[test]
fn changes_of_handles_report_overdue_work() {
    let waited = Duration::from_secs(11);
    let (mut event_loop, registry) = due_since(waited);
    let told = warnings(&mut event_loop);
    for _ in 0..64 {
        let id = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
        let _ = registry.remove_handle(id).unwrap();
    }
    assert_eq!(told.try_recv(), Ok(Warning::NotRunning { waited }));
}

#[test]
fn work_that_waits_for_a_callback_to_return_is_noticed_too() {
    let (mut event_loop, registry, model) = model_loop();
    let told = warnings(&mut event_loop);
    let world = model.clone();
    registry
        .add_timeout(ms(20), move |event| {
            // Due while this callback goes on; what notices might be any thread.
            event.registry.add_timeout(ms(0), |_| {}).unwrap();
            world.advance(Duration::from_secs(10));
            assert_eq!(event.registry.stats().overdue, Duration::from_secs(10));
        })
        .unwrap();
    event_loop.run_once(None).unwrap();
    let waited = Duration::from_secs(10);
    assert_eq!(told.try_recv(), Ok(Warning::Blocked { waited }));
}

#[test]
fn loop_that_sleeps_in_time_is_not_warned_of() {
    let (mut event_loop, registry, model) = model_loop();
    let told = warnings(&mut event_loop);
    registry
        .add_timeout(Duration::from_secs(1_000), |_| {})
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.advance(Duration::from_secs(900));
    let stats = registry.stats();
    assert_eq!(
        (stats.overdue, told.try_iter().count()),
        (Duration::ZERO, 0)
    );
}

// EV-510: the hook runs with no lock of ours held.
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
fn a_loop_has_the_limits_and_the_hook_that_it_was_built_with() {
    let (tell, told) = channel();
    let builder = EventLoop::builder().warning_limits(limits());
    let mut event_loop = builder
        .on_warning(move |warning| tell.send(*warning).unwrap())
        .build()
        .unwrap();
    let (near, far) = streams();
    drop(far);
    let registry = event_loop.registry();
    registry.add_handle(near, R, |_| {}).unwrap();
    for _ in 0..60 {
        event_loop.run_once(None).unwrap();
    }
    let told: Vec<Warning> = told.try_iter().collect();
    let expected = matches!(told[..], [Warning::NoProgress { turns: 50, .. }]);
    assert!(expected, "{told:?}");
}

#[test]
fn a_warning_says_what_happened_and_for_how_long() {
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
