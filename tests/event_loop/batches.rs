//! The calls of a turn are taken in batches of 32: changes and panics inside one, and at its borders.

use crate::support::{
    AT_ONCE, LONG, Log, ProbePoller, R, Records, W, log, model_loop, ms, os_loop,
};
use crate::support::{on_each_backend, streams};
use eventry::poller::model::ModelSource;
use eventry::table::Removal;
use eventry::{EventLoop, Events, HandleId, PanicPolicy, Registry, TimeoutId};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;

type Ids = Arc<OnceLock<BTreeMap<i32, HandleId>>>;
type Change = Box<dyn FnMut(&Registry<ProbePoller>, &BTreeMap<i32, HandleId>) + Send>;

/// The first descriptor of the handles.
const FIRST: i32 = 100;
/// Three whole batches and a part of one.
const MANY: i32 = 3 * 32 + 4;

/// Returns a loop with readable handles on many descriptors. Each records its number; the one at `at` also applies
/// `change`.
fn many_handles(log: &Log, at: i32, change: Change) -> EventLoop<ProbePoller> {
    let (event_loop, registry, model) = model_loop();
    let (ids, mut added) = (Ids::default(), BTreeMap::new());
    let mut change = Some(change);
    for number in 0..MANY {
        model.set_ready(FIRST + number, R);
        let (log, ids_of_all) = (log.clone(), ids.clone());
        let mut change = if number == at { change.take() } else { None };
        let id = registry.add_source(ModelSource(FIRST + number), R, move |event| {
            log.record(format!("{number}"));
            if let Some(change) = &mut change {
                change(event.registry, ids_of_all.get().expect("all were added"));
            }
        });
        added.insert(number, id.unwrap());
    }
    ids.set(added).expect("they are set once");
    event_loop
}

fn numbers(skipped: &[i32]) -> Vec<String> {
    let all = (0..MANY).filter(|number| !skipped.contains(number));
    all.map(|number| number.to_string()).collect()
}

fn turn(event_loop: &mut EventLoop<ProbePoller>, records: &Records) -> Vec<String> {
    event_loop.run_once(AT_ONCE).unwrap();
    records.take()
}

// EV-505, EV-508.
#[test]
fn every_ready_handle_is_called_once_in_a_turn_of_many() {
    let (log, records) = log();
    let mut event_loop = many_handles(&log, 0, Box::new(|_, _| {}));
    assert_eq!(turn(&mut event_loop, &records), numbers(&[]));
    assert_eq!(event_loop.registry().stats().calls, MANY as u64);
}

// EV-601, EV-602: the changed handles are the next one, the last of the batch, and ones of later batches.
#[test]
fn changed_handles_are_skipped_in_every_batch() {
    for at in [0, 1, 30, 31, 32, 40] {
        let (log, records) = log();
        let changed = [at + 1, 47, 63, 64, 95, 99];
        let change = move |registry: &Registry<ProbePoller>, ids: &BTreeMap<i32, HandleId>| {
            for (number, even) in changed.iter().zip([true, false].into_iter().cycle()) {
                // The second turn changes entries that are removed.
                if even {
                    let removal = registry.remove_handle(ids[number]);
                    assert_ne!(removal, Ok(Removal::InFlight));
                } else {
                    registry.update_handle(ids[number], Events::NONE).unwrap();
                }
            }
        };
        let mut event_loop = many_handles(&log, at, Box::new(change));
        assert_eq!(turn(&mut event_loop, &records), numbers(&changed), "{at}");
        let stats = event_loop.registry().stats();
        assert_eq!(stats.calls, (MANY - 6) as u64);
        assert_eq!((stats.frees, stats.pending_frees), (3, 0));
        assert_eq!(turn(&mut event_loop, &records), numbers(&changed), "{at}");
    }
}

// EV-603, EV-604.
#[test]
fn changed_interest_applies_to_a_taken_call() {
    let (log, records) = log();
    let change = |registry: &Registry<ProbePoller>, ids: &BTreeMap<i32, HandleId>| {
        registry.update_handle(ids[&1], W).unwrap();
        registry.update_handle(ids[&2], R | W).unwrap();
    };
    let mut event_loop = many_handles(&log, 0, Box::new(change));
    assert_eq!(turn(&mut event_loop, &records), numbers(&[1]));
}

// A handle that was called may be changed before its batch ends.
#[test]
fn removal_of_a_called_handle_is_idle() {
    let (log, records) = log();
    let mut removal = None;
    let change = move |registry: &Registry<ProbePoller>, ids: &BTreeMap<i32, HandleId>| {
        removal.get_or_insert_with(|| {
            assert_eq!(registry.remove_handle(ids[&3]), Ok(Removal::Idle));
            assert_eq!(registry.remove_handle(ids[&9]), Ok(Removal::InFlight));
        });
    };
    let mut event_loop = many_handles(&log, 9, Box::new(change));
    assert_eq!(turn(&mut event_loop, &records), numbers(&[]));
    assert_eq!(event_loop.registry().stats().frees, 2);
    assert_eq!(turn(&mut event_loop, &records), numbers(&[3, 9]));
}

// EV-514.
#[test]
fn the_calls_after_a_panic_in_a_batch_are_made() {
    for at in [0, 15, 31, 32] {
        let (log, records) = log();
        let change = move |registry: &Registry<ProbePoller>, ids: &BTreeMap<i32, HandleId>| {
            assert_eq!(registry.remove_handle(ids[&(at + 1)]), Ok(Removal::Idle));
            panic!("on purpose");
        };
        let mut event_loop = many_handles(&log, at, Box::new(change));
        event_loop.set_panic_policy(PanicPolicy::Continue);
        assert_eq!(turn(&mut event_loop, &records), numbers(&[at + 1]), "{at}");
        let stats = event_loop.registry().stats();
        let counts = (stats.panics, stats.frees, stats.calls);
        assert_eq!(counts, (1, 2, MANY as u64 - 1));
        assert_eq!(turn(&mut event_loop, &records), numbers(&[at, at + 1]));
    }
}

// EV-607, EV-609.
#[test]
fn due_timeouts_of_a_batch_follow_changes() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    let (ids, mut added) = (Arc::<OnceLock<Vec<TimeoutId>>>::default(), Vec::new());
    for number in 0..MANY {
        let (log, all) = (log.clone(), ids.clone());
        let id = registry.add_timeout(ms(1), move |event| {
            log.record(number.to_string());
            let all = all.get().expect("all were added");
            if number == 2 {
                event.registry.update_timeout(all[3], ms(1)).unwrap();
                event.registry.update_timeout(all[40], None).unwrap();
                let _ = event.registry.remove_timeout(all[4]);
                // It was called before, so this arms it for the next turn.
                event.registry.update_timeout(all[1], ms(0)).unwrap();
            }
        });
        added.push(id.unwrap());
    }
    ids.set(added).expect("they are set once");
    assert_eq!(
        records.after(ms(1), &mut event_loop, &model),
        numbers(&[3, 4, 40])
    );
    assert_eq!(records.after(ms(0), &mut event_loop, &model), ["1"]);
}

// EV-702: the removal of a taken entry waits for its own call only.
#[test]
fn removal_of_a_taken_handle_does_not_wait_for_the_call_before() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        let (started, has_started) = channel();
        let (done, is_done) = channel::<()>();
        // The second handle is called after the timeout, in the same batch.
        registry
            .add_timeout(ms(0), move |event| {
                started.send(()).unwrap();
                is_done.recv().unwrap();
                let removal = event.registry.remove_timeout(event.id);
                assert_eq!(removal, Ok(Removal::InFlight));
            })
            .unwrap();
        let (near, _far) = streams();
        let added = registry.add_handle(near, W, |_| -> () { panic!("it was removed") });
        let id = added.unwrap();
        let other = thread::spawn(move || {
            has_started.recv().unwrap();
            registry.remove_handle_and_wait(id).unwrap();
            done.send(()).unwrap();
        });
        event_loop.run_once(LONG).unwrap();
        other.join().unwrap();
    });
}
