//! Statistics of a loop, its hooks, and draining.

use crate::support::{AT_ONCE, R, add_recording_timeout, log, model_loop, ms, probe_loop};
use eventry::poller::model::ModelSource;

#[test]
fn stats_count_entries_turns_calls_and_frees() {
    let (mut event_loop, registry, probe) = probe_loop();
    probe.model.set_ready(3, R);
    let handle = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    registry.add_timeout(ms(0), |_| {}).unwrap();
    event_loop.run_once(None).unwrap();
    let stats = registry.stats();
    assert_eq!((stats.handles, stats.timeouts), (1, 1));
    assert_eq!((stats.turns, stats.calls, stats.frees), (1, 2, 0));

    let _ = registry.remove_handle(handle).unwrap();
    assert_eq!(registry.stats().pending_frees, 1);
    event_loop.run_once(None).unwrap();
    let stats = registry.stats();
    assert_eq!((stats.handles, stats.pending_frees), (0, 0));
    assert_eq!((stats.turns, stats.calls, stats.frees), (2, 3, 1));
}

#[test]
fn stats_count_one_wake_per_sleep() {
    let (mut event_loop, registry, probe) = probe_loop();
    let other = registry.clone();
    probe.during_a_wait(move || {
        other.add_timeout(ms(5), |_| {}).unwrap();
        other.add_timeout(ms(3), |_| {}).unwrap();
    });
    event_loop.run_once(None).unwrap();
    assert_eq!(registry.stats().wakes, 1);
}

#[test]
fn the_hooks_are_called_around_the_wait_in_every_turn() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let (before, after, called) = (log.clone(), log.clone(), log.clone());
    let freed = log.on_drop("free");
    event_loop.set_before_wait(move || before.record("before"));
    event_loop.set_after_dispatch(move || after.record("after"));
    registry
        .add_timeout(ms(0), move |event| {
            freed.keep();
            called.record("called");
            let _ = event.registry.remove_timeout(event.id).unwrap();
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["before", "called", "free", "after"]);
}

// The wait takes a change by the hook into account.
#[test]
fn timeout_added_by_the_hook_ends_the_wait() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    event_loop.set_before_wait(move || {
        if registry.is_idle() {
            add_recording_timeout(&registry, &log, ms(7), "fired");
        }
    });
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["fired"]);
}

// EV-709: each free removes another entry; all are freed and none is called.
#[test]
fn drain_frees_entries_removed_by_frees_without_calls() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let mut next = None;
    for name in ["third", "second", "first"] {
        let freed = log.on_drop(name);
        let called = log.clone();
        let chained = RemovesOnDrop(next.map(|id| (registry.clone(), id)));
        next = Some(
            registry
                .add_timeout(ms(0), move |_| {
                    freed.keep();
                    chained.keep();
                    called.record("called");
                })
                .unwrap(),
        );
    }
    let _ = registry.remove_timeout(next.unwrap()).unwrap();
    assert!(!registry.is_idle());
    event_loop.drain().unwrap();
    assert_eq!(records.take(), ["first", "second", "third"]);
    assert!(registry.is_idle());
}

// A program may need to know when the values that its callbacks own are dropped.
#[test]
fn a_registry_is_not_idle_while_the_last_entry_is_dropped() {
    let (log, records) = log();
    let (mut event_loop, registry, _model) = model_loop();
    let asks = AsksOnDrop(registry.clone(), log);
    let id = registry.add_timeout(ms(0), move |_| asks.keep()).unwrap();
    let _ = registry.remove_timeout(id).unwrap();
    event_loop.drain().unwrap();
    assert_eq!(records.take(), ["idle: false, pending: 1, freed: 0"]);
    let stats = registry.stats();
    assert_eq!((stats.pending_frees, stats.frees), (0, 1));
    assert!(registry.is_idle());
}

type Registry = eventry::Registry<crate::support::ProbePoller>;

/// Guard that records the state of the registry when it is dropped.
struct AsksOnDrop(Registry, crate::support::Log);

impl AsksOnDrop {
    fn keep(&self) {}
}

impl Drop for AsksOnDrop {
    fn drop(&mut self) {
        let (idle, stats) = (self.0.is_idle(), self.0.stats());
        let (pending, freed) = (stats.pending_frees, stats.frees);
        self.1
            .record(format!("idle: {idle}, pending: {pending}, freed: {freed}"));
    }
}

/// Guard that removes a timeout when it is dropped.
struct RemovesOnDrop(Option<(Registry, eventry::TimeoutId)>);

impl RemovesOnDrop {
    fn keep(&self) {}
}

impl Drop for RemovesOnDrop {
    fn drop(&mut self) {
        if let Some((registry, id)) = self.0.take() {
            let _ = registry.remove_timeout(id).unwrap();
        }
    }
}
