//! Models of the loop, each a finite program with two or three threads.
//!
//! The models run the real registry and loop on the model poller, whose wait without a timeout ends only with an
//! event or a wake. A lost wake is therefore a deadlock, which loom reports. Callbacks and threads record their
//! observations in atomics of the standard library, which are no steps of the program, since loom runs one
//! thread at a time.

use crate::batches::{
    disable_and_remove_x_second_of_a_batch, remove_and_wait_x_second_of_a_batch,
    remove_x_second_of_a_batch,
};
use crate::inside::{handle_operations_inside_x_outside, timeout_operations_inside_x_outside};
use crate::reuse::{
    add_reopened_x_remove_old, add_reopened_x_sleep, disable_and_add_reopened_x_sleep,
};
use eventry::poller::model::{FOR_EVER, Model as Poller, ModelPoller, ModelSource};
use eventry::table::Removal;
use eventry::{EventLoop, Events, Registry, Stopper};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;
use test_support::models::Model;

macro_rules! models {
    ($($name:literal $run:ident $floor:literal,)*) => {
        pub(crate) const MODELS: &[Model] = &[$(Model {
            name: $name,
            what: stringify!($run),
            run: $run,
            preemptions: None,
            floor: $floor,
        },)*];
    };
}

models! {
    "L1" remove_x_dispatch 350,
    "L2" remove_x_remove 40,
    "L3" add_nearer_deadline_x_sleep 25,
    "L3b" shorten_deadline_x_sleep 45,
    "L3c" add_handle_x_sleep 20,
    "L3d" enable_handle_x_sleep 20,
    "L4" remove_while_called_x_free 1_500,
    "L4b" remove_while_asleep_x_free 100,
    "L4c" remove_timeout_while_asleep_x_free 40,
    "L5" disable_x_dispatch 200,
    "L6" stop_x_sleep 15,
    "L6b" signal_x_sleep 20,
    "L6c" signal_x_stop 25,
    "L7" remove_inside_x_remove_outside 120,
    "L8" add_inside_x_remove_outside 90,
    "L9" remove_and_wait_x_dispatch 2_800,
    "L10" drop_loop_x_add 20,
    "L11" handle_operations_inside_x_outside 45_000,
    "L11b" timeout_operations_inside_x_outside 15_000,
    "L12" remove_under_the_callbacks_lock 400,
    "L13" add_x_first_call 20,
    "L14" add_reopened_x_sleep 550,
    "L14b" add_reopened_x_remove_old 5_500,
    "L14c" disable_and_add_reopened_x_sleep 18_000,
    "L15" remove_x_second_of_a_batch 1_800,
    "L16" disable_and_remove_x_second_of_a_batch 20_000,
    "L17" remove_and_wait_x_second_of_a_batch 19_000,
}

pub(crate) const FD: ModelSource = ModelSource(3);

pub(crate) fn new_loop() -> (EventLoop, Registry, Poller) {
    let (poller, model) = ModelPoller::new();
    let event_loop = EventLoop::with_poller(poller);
    let registry = event_loop.registry();
    (event_loop, registry, model)
}

/// Runs one turn that does not wait.
pub(crate) fn turn(event_loop: &mut EventLoop) {
    let turned = event_loop.run_once(Some(Duration::ZERO));
    turned.expect("no callback panics");
}

/// Counts its drop, which is the free call of the callback that owns it.
pub(crate) struct FreeCounter(pub(crate) Arc<AtomicUsize>);

impl Drop for FreeCounter {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Stops the loop when it is dropped, which is the free call of the callback that owns it.
struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// After `Removal::Idle` no call runs and none begins; `InFlight` means that one has begun (EV-702).
fn remove_x_dispatch() {
    let (mut event_loop, registry, model) = new_loop();
    let (running, removed) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let (freed, calls) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    model.set_ready(FD.0, Events::READABLE);
    let (is_running, is_removed, is_called) = (running.clone(), removed.clone(), calls.clone());
    let guard = FreeCounter(freed.clone());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
        assert!(
            !is_removed.load(SeqCst),
            "I3: a call began after the removal of its handle"
        );
        is_called.fetch_add(1, SeqCst);
        is_running.store(true, SeqCst);
        // A point at which loom may switch to another thread.
        model.set_ready(FD.0, Events::NONE);
        assert!(
            !is_removed.load(SeqCst),
            "I3: a call ran after a removal that returned idle"
        );
        is_running.store(false, SeqCst);
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let ended = calls.clone();
    let remover = thread::spawn(move || match registry.remove_handle(id).unwrap() {
        Removal::Idle => {
            assert!(
                !running.load(SeqCst),
                "I3: a call runs after a removal that returned idle"
            );
            removed.store(true, SeqCst);
        }
        Removal::InFlight => {}
    });
    turn(&mut event_loop);
    remover.join().unwrap();
    let before = ended.load(SeqCst);
    turn(&mut event_loop);
    assert_eq!(
        ended.load(SeqCst),
        before,
        "I3: the handle was called after its removal"
    );
    assert_eq!(freed.load(SeqCst), 1, "I5: the callback is freed once");
}

/// Exactly one of two removals succeeds (EV-701).
fn remove_x_remove() {
    let (mut event_loop, registry, _model) = new_loop();
    let freed = Arc::<AtomicUsize>::default();
    let guard = FreeCounter(freed.clone());
    let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
        let _owned = &guard;
    };
    let id = registry.add_timeout(None, callback).unwrap();
    let other = registry.clone();
    let remover = thread::spawn(move || other.remove_timeout(id).is_ok());
    let here = registry.remove_timeout(id).is_ok();
    turn(&mut event_loop);
    let there = remover.join().unwrap();
    assert!(here ^ there, "I2: exactly one removal succeeds");
    turn(&mut event_loop);
    assert_eq!(freed.load(SeqCst), 1, "I5: the callback is freed once");
}

/// A loop without deadlines fires the timeout that another thread adds (EV-809, EV-902).
fn add_nearer_deadline_x_sleep() {
    let (mut event_loop, registry, _model) = new_loop();
    let stopper = event_loop.stopper();
    let adder = thread::spawn(move || {
        let added = registry.add_timeout(Duration::ZERO, move |_| stopper.stop());
        added.unwrap();
    });
    event_loop.run().unwrap();
    adder.join().unwrap();
}

/// A loop that sleeps until a far deadline fires the timeout that another thread shortens.
fn shorten_deadline_x_sleep() {
    let (mut event_loop, registry, _model) = new_loop();
    let stopper = event_loop.stopper();
    let added = registry.add_timeout(FOR_EVER * 2, move |_| stopper.stop());
    let id = added.unwrap();
    let updater = thread::spawn(move || registry.update_timeout(id, Duration::ZERO).unwrap());
    event_loop.run().unwrap();
    updater.join().unwrap();
}

/// A loop that goes to sleep calls the handle that another thread adds on a ready descriptor (EV-902). The loop
/// itself registers the descriptor, so it must be woken.
fn add_handle_x_sleep() {
    let (mut event_loop, registry, model) = new_loop();
    model.set_ready(FD.0, Events::READABLE);
    let stopper = event_loop.stopper();
    let adder = thread::spawn(move || {
        let callback = move |_: eventry::registry::HandleEvent<'_, _>| stopper.stop();
        registry.add_source(FD, Events::READABLE, callback).unwrap();
    });
    event_loop.run().unwrap();
    adder.join().unwrap();
}

/// A loop that goes to sleep calls the handle that another thread enables on a ready descriptor.
fn enable_handle_x_sleep() {
    let (mut event_loop, registry, model) = new_loop();
    model.set_ready(FD.0, Events::READABLE);
    let stopper = event_loop.stopper();
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| stopper.stop();
    let id = registry.add_source(FD, Events::NONE, callback).unwrap();
    let updater = thread::spawn(move || registry.update_handle(id, Events::READABLE).unwrap());
    event_loop.run().unwrap();
    updater.join().unwrap();
}

/// A handle that is removed during its call is freed after the call without a further event (EV-705, EV-707).
fn remove_while_called_x_free() {
    let (mut event_loop, registry, model) = new_loop();
    model.set_ready(FD.0, Events::READABLE);
    let guard = StopOnDrop(event_loop.stopper());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
        model.set_ready(FD.0, Events::NONE);
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_handle(id).unwrap());
    event_loop.run().unwrap();
    let _removal = remover.join().unwrap();
}

/// A handle that is removed while the loop sleeps without a deadline is freed (EV-707).
fn remove_while_asleep_x_free() {
    let (mut event_loop, registry, _model) = new_loop();
    let guard = StopOnDrop(event_loop.stopper());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_handle(id).unwrap());
    event_loop.run().unwrap();
    assert_eq!(remover.join().unwrap(), Removal::Idle);
}

/// A timeout that is removed while the loop sleeps is freed. It is not registered with the poller, so only the pending
/// free wakes the loop.
fn remove_timeout_while_asleep_x_free() {
    let (mut event_loop, registry, _model) = new_loop();
    let guard = StopOnDrop(event_loop.stopper());
    let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
        let _owned = &guard;
    };
    let id = registry.add_timeout(None, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_timeout(id).unwrap());
    event_loop.run().unwrap();
    assert_eq!(remover.join().unwrap(), Removal::Idle);
}

/// After a handle was disabled, no call of it begins (EV-615). While the first callback runs, the second call has not
/// begun, so an update that has returned by then must prevent it.
fn disable_x_dispatch() {
    let (mut event_loop, registry, model) = new_loop();
    let other = ModelSource(FD.0 + 1);
    model.set_ready(FD.0, Events::READABLE);
    model.set_ready(other.0, Events::READABLE);
    let (disabled, in_time) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let (is_disabled, was_in_time) = (disabled.clone(), in_time.clone());
    let first = move |_: eventry::registry::HandleEvent<'_, _>| {
        // A point at which loom may switch to the updating thread.
        model.set_ready(FD.0, Events::NONE);
        was_in_time.store(is_disabled.load(SeqCst), SeqCst);
    };
    let second = move |_: eventry::registry::HandleEvent<'_, _>| {
        let in_time = in_time.load(SeqCst);
        assert!(!in_time, "I9: the handle was called after it was disabled");
    };
    registry.add_source(FD, Events::READABLE, first).unwrap();
    let id = registry
        .add_source(other, Events::READABLE, second)
        .unwrap();
    let updater = thread::spawn(move || {
        registry.update_handle(id, Events::NONE).unwrap();
        disabled.store(true, SeqCst);
    });
    turn(&mut event_loop);
    updater.join().unwrap();
}

/// A loop that sleeps without a deadline returns when another thread stops it (EV-907).
fn stop_x_sleep() {
    let (mut event_loop, _registry, _model) = new_loop();
    let stopper = event_loop.stopper();
    let other = thread::spawn(move || stopper.stop());
    event_loop.run().unwrap();
    other.join().unwrap();
}

/// A loop that sleeps without a deadline returns when a signal handler stops it, which takes no lock (EV-907).
fn signal_x_sleep() {
    let (mut event_loop, _registry, _model) = new_loop();
    let stopper = event_loop.signal_stopper();
    let other = thread::spawn(move || stopper.stop());
    event_loop.run().unwrap();
    other.join().unwrap();
}

/// A stop by a thread and one by a signal handler end one or two runs, but not three. Only a wake may remain.
fn signal_x_stop() {
    let (mut event_loop, _registry, _model) = new_loop();
    let (stopper, by_signal) = (event_loop.stopper(), event_loop.signal_stopper());
    let other = thread::spawn(move || by_signal.stop());
    let last = stopper.clone();
    stopper.stop();
    event_loop.run().unwrap();
    other.join().unwrap();
    last.stop();
    event_loop.run().unwrap();
}

/// A callback and another thread remove the same entry; exactly one removal succeeds (EV-701, EV-610).
fn remove_inside_x_remove_outside() {
    let (mut event_loop, registry, _model) = new_loop();
    let (removals, freed) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (inside, guard) = (removals.clone(), FreeCounter(freed.clone()));
    let callback = move |event: eventry::registry::TimeoutEvent<'_>| {
        let _owned = &guard;
        match event.registry.remove_timeout(event.id) {
            Ok(Removal::InFlight) => drop(inside.fetch_add(1, SeqCst)),
            Ok(Removal::Idle) => panic!("I3: the removal returned idle during its own call"),
            Err(_) => {}
        }
    };
    let id = registry.add_timeout(Duration::ZERO, callback).unwrap();
    let outside = removals.clone();
    let remover = thread::spawn(move || {
        if registry.remove_timeout(id).is_ok() {
            outside.fetch_add(1, SeqCst);
        }
    });
    turn(&mut event_loop);
    remover.join().unwrap();
    turn(&mut event_loop);
    assert_eq!(removals.load(SeqCst), 1, "I2: exactly one removal succeeds");
    assert_eq!(freed.load(SeqCst), 1, "I5: the callback is freed once");
}

/// A callback adds an entry while another thread removes the callback. The new entry is not called in the same turn,
/// but in the next one (EV-506, EV-612).
fn add_inside_x_remove_outside() {
    let (mut event_loop, registry, _model) = new_loop();
    let (added, calls) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (adds, called) = (added.clone(), calls.clone());
    let callback = move |event: eventry::registry::TimeoutEvent<'_>| {
        let called = called.clone();
        let second = move |_: eventry::registry::TimeoutEvent<'_>| {
            called.fetch_add(1, SeqCst);
        };
        event.registry.add_timeout(Duration::ZERO, second).unwrap();
        adds.fetch_add(1, SeqCst);
    };
    let id = registry.add_timeout(Duration::ZERO, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_timeout(id).unwrap());
    turn(&mut event_loop);
    assert_eq!(
        calls.load(SeqCst),
        0,
        "I10: the entry was called in the turn of its addition"
    );
    let _removal = remover.join().unwrap();
    turn(&mut event_loop);
    let (added, calls) = (added.load(SeqCst), calls.load(SeqCst));
    assert_eq!(
        calls, added,
        "I4: each added entry is called in the next turn"
    );
}

/// After `remove_and_wait` has returned, no call runs and none begins (EV-702).
fn remove_and_wait_x_dispatch() {
    let (mut event_loop, registry, model) = new_loop();
    let (running, removed) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    model.set_ready(FD.0, Events::READABLE);
    let (is_running, is_removed) = (running.clone(), removed.clone());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        assert!(
            !is_removed.load(SeqCst),
            "I3: a call began after the removal of its handle"
        );
        is_running.store(true, SeqCst);
        // A point at which loom may switch to another thread.
        model.set_ready(FD.0, Events::NONE);
        is_running.store(false, SeqCst);
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || {
        registry.remove_handle_and_wait(id).unwrap();
        assert!(
            !running.load(SeqCst),
            "I3: the removal did not wait for a running call"
        );
        removed.store(true, SeqCst);
    });
    turn(&mut event_loop);
    remover.join().unwrap();
    turn(&mut event_loop);
}

/// A dropped loop frees the entries that were added before; a later addition is refused and returned (EV-714, EV-207).
fn drop_loop_x_add() {
    let (event_loop, registry, _model) = new_loop();
    let freed = Arc::<AtomicUsize>::default();
    let guard = FreeCounter(freed.clone());
    // Without this clone, dropping the adder's registry would drop the table and free all entries.
    let _kept = registry.clone();
    let adder = thread::spawn(move || {
        let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
            let _owned = &guard;
        };
        registry.add_timeout(Duration::ZERO, callback).is_ok()
    });
    drop(event_loop);
    let _removal = adder.join().unwrap();
    assert_eq!(
        freed.load(SeqCst),
        1,
        "I5, I6: the callback is freed by the loop or returned"
    );
}

/// A removal returns although the caller holds a lock that the callback takes, as in libvirt (EV-708).
fn remove_under_the_callbacks_lock() {
    let (mut event_loop, registry, model) = new_loop();
    model.set_ready(FD.0, Events::READABLE);
    let lock = Arc::new(Mutex::new(()));
    let taken = lock.clone();
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| drop(taken.lock().unwrap());
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || {
        let _held = lock.lock().unwrap();
        let _removal = registry.remove_handle(id).unwrap();
    });
    turn(&mut event_loop);
    remover.join().unwrap();
    turn(&mut event_loop);
}

/// The first call sees everything that the adding thread wrote before (EV-614).
fn add_x_first_call() {
    let (mut event_loop, registry, _model) = new_loop();
    let stopper = event_loop.stopper();
    // Both sides are relaxed, so only the table's lock can order them.
    let written = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
    let adder = thread::spawn(move || {
        written.store(1, Relaxed);
        let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
            assert_eq!(
                written.load(Relaxed),
                1,
                "the call is not ordered after the addition"
            );
            stopper.stop();
        };
        registry.add_timeout(Duration::ZERO, callback).unwrap();
    });
    event_loop.run().unwrap();
    adder.join().unwrap();
}
