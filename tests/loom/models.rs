//! The models of the loop: two or three threads each, synchronous and finite.
//!
//! All run on the real registry and loop over the model poller, whose wait without a timeout ends by an
//! event or a wake only: a wake that is lost is a deadlock, which loom reports. What the loop's callbacks
//! and the other threads note about each other is kept in atomics of the standard library: they are
//! observations, not steps of the program, and loom runs one thread at a time.

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
    "L1" remove_x_dispatch 120,
    "L2" remove_x_remove 60,
    "L3" add_nearer_deadline_x_sleep 70,
    "L3b" shorten_deadline_x_sleep 100,
    "L3c" add_handle_x_sleep 40,
    "L3d" enable_handle_x_sleep 40,
    "L4" remove_while_called_x_free 800,
    "L4b" remove_while_asleep_x_free 100,
    "L4c" remove_timeout_while_asleep_x_free 80,
    "L5" disable_x_dispatch 60,
    "L6" stop_x_sleep 30,
    "L6b" signal_x_sleep 20,
    "L6c" signal_x_stop 20,
    "L7" remove_inside_x_remove_outside 60,
    "L8" add_inside_x_remove_outside 60,
    "L9" remove_and_wait_x_dispatch 250,
    "L10" drop_loop_x_add 20,
    "L11" every_operation_inside_x_outside 150_000,
    "L12" remove_under_the_callbacks_lock 300,
    "L13" add_x_first_call 70,
}

const FD: ModelSource = ModelSource(3);

fn new_loop() -> (EventLoop, Registry, Poller) {
    let (poller, world) = ModelPoller::new();
    let event_loop = EventLoop::with_poller(poller);
    let registry = event_loop.registry();
    (event_loop, registry, world)
}

/// One turn that does not wait.
fn turn(event_loop: &mut EventLoop) {
    let turned = event_loop.run_once(Some(Duration::ZERO));
    turned.expect("no callback panics");
}

/// Dropped with the callback that owns it: its free call.
struct Freed(Arc<AtomicUsize>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Dropped with the callback that owns it: its free call stops the loop.
struct StopWhenFreed(Stopper);

impl Drop for StopWhenFreed {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// `Removal::Idle` means that no call runs and none begins, `InFlight` that one was begun (EV-702).
fn remove_x_dispatch() {
    let (mut event_loop, registry, world) = new_loop();
    let (running, gone) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let (freed, calls) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    world.set_ready(FD.0, Events::READABLE);
    let (is_running, is_gone, is_called) = (running.clone(), gone.clone(), calls.clone());
    let guard = Freed(freed.clone());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
        assert!(
            !is_gone.load(SeqCst),
            "I3: a call began after its handle was removed"
        );
        is_called.fetch_add(1, SeqCst);
        is_running.store(true, SeqCst);
        // A step that others can come in between of.
        world.set_ready(FD.0, Events::NONE);
        assert!(
            !is_gone.load(SeqCst),
            "I3: a call ran on after a removal that found none"
        );
        is_running.store(false, SeqCst);
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let ended = calls.clone();
    let remover = thread::spawn(move || match registry.remove_handle(id).unwrap() {
        Removal::Idle => {
            assert!(
                !running.load(SeqCst),
                "I3: a call runs that the removal did not find"
            );
            gone.store(true, SeqCst);
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
        "I3: called after it was removed"
    );
    assert_eq!(freed.load(SeqCst), 1, "I5: freed once");
}

/// Of two removals exactly one succeeds (EV-701).
fn remove_x_remove() {
    let (mut event_loop, registry, _world) = new_loop();
    let freed = Arc::<AtomicUsize>::default();
    let guard = Freed(freed.clone());
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
    assert_eq!(freed.load(SeqCst), 1, "I5: freed once");
}

/// A loop that has nothing to wait for fires the timeout that another thread adds (EV-809, EV-902).
fn add_nearer_deadline_x_sleep() {
    let (mut event_loop, registry, _world) = new_loop();
    let stopper = event_loop.stopper();
    let adder = thread::spawn(move || {
        let added = registry.add_timeout(Duration::ZERO, move |_| stopper.stop());
        added.unwrap();
    });
    event_loop.run().unwrap();
    adder.join().unwrap();
}

/// A loop that sleeps towards a far deadline fires it when another thread makes it near.
fn shorten_deadline_x_sleep() {
    let (mut event_loop, registry, _world) = new_loop();
    let stopper = event_loop.stopper();
    let added = registry.add_timeout(FOR_EVER * 2, move |_| stopper.stop());
    let id = added.unwrap();
    let updater = thread::spawn(move || registry.update_timeout(id, Duration::ZERO).unwrap());
    event_loop.run().unwrap();
    updater.join().unwrap();
}

/// A loop that goes to sleep calls the handle that another thread adds on a ready descriptor (EV-902):
/// its registration waits for the loop, so the loop must not wait for it.
fn add_handle_x_sleep() {
    let (mut event_loop, registry, world) = new_loop();
    world.set_ready(FD.0, Events::READABLE);
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
    let (mut event_loop, registry, world) = new_loop();
    world.set_ready(FD.0, Events::READABLE);
    let stopper = event_loop.stopper();
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| stopper.stop();
    let id = registry.add_source(FD, Events::NONE, callback).unwrap();
    let updater = thread::spawn(move || registry.update_handle(id, Events::READABLE).unwrap());
    event_loop.run().unwrap();
    updater.join().unwrap();
}

/// What is removed while it is called is freed after the call, without anything else happening
/// (EV-705, EV-707).
fn remove_while_called_x_free() {
    let (mut event_loop, registry, world) = new_loop();
    world.set_ready(FD.0, Events::READABLE);
    let guard = StopWhenFreed(event_loop.stopper());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
        world.set_ready(FD.0, Events::NONE);
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_handle(id).unwrap());
    event_loop.run().unwrap();
    let _either = remover.join().unwrap();
}

/// What is removed while the loop sleeps for ever is freed all the same (EV-707).
fn remove_while_asleep_x_free() {
    let (mut event_loop, registry, _world) = new_loop();
    let guard = StopWhenFreed(event_loop.stopper());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_handle(id).unwrap());
    event_loop.run().unwrap();
    assert_eq!(remover.join().unwrap(), Removal::Idle);
}

/// The same for a timeout, of which the poller knows nothing: only the free wakes the loop.
fn remove_timeout_while_asleep_x_free() {
    let (mut event_loop, registry, _world) = new_loop();
    let guard = StopWhenFreed(event_loop.stopper());
    let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
        let _owned = &guard;
    };
    let id = registry.add_timeout(None, callback).unwrap();
    let remover = thread::spawn(move || registry.remove_timeout(id).unwrap());
    event_loop.run().unwrap();
    assert_eq!(remover.join().unwrap(), Removal::Idle);
}

/// After a handle was disabled no call of it is committed (EV-615). While the first callback runs the
/// second call is not committed yet, so a disabling that is over by then must prevent it.
fn disable_x_dispatch() {
    let (mut event_loop, registry, world) = new_loop();
    let other = ModelSource(FD.0 + 1);
    world.set_ready(FD.0, Events::READABLE);
    world.set_ready(other.0, Events::READABLE);
    let (disabled, in_time) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let (is_disabled, was_in_time) = (disabled.clone(), in_time.clone());
    let first = move |_: eventry::registry::HandleEvent<'_, _>| {
        // A step that the update can come before.
        world.set_ready(FD.0, Events::NONE);
        was_in_time.store(is_disabled.load(SeqCst), SeqCst);
    };
    let second = move |_: eventry::registry::HandleEvent<'_, _>| {
        let in_time = in_time.load(SeqCst);
        assert!(!in_time, "I9: called after it was disabled");
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

/// A loop that sleeps for ever returns when it is stopped (EV-907).
fn stop_x_sleep() {
    let (mut event_loop, _registry, _world) = new_loop();
    let stopper = event_loop.stopper();
    let other = thread::spawn(move || stopper.stop());
    event_loop.run().unwrap();
    other.join().unwrap();
}

/// A loop that sleeps for ever returns when a signal handler stops it, which takes no lock (EV-907).
fn signal_x_sleep() {
    let (mut event_loop, _registry, _world) = new_loop();
    let stopper = event_loop.signal_stopper();
    let other = thread::spawn(move || stopper.stop());
    event_loop.run().unwrap();
    other.join().unwrap();
}

/// Two stops by different ways end one run or two, but not three: what is left of the second is a wake.
fn signal_x_stop() {
    let (mut event_loop, _registry, _world) = new_loop();
    let (stopper, by_signal) = (event_loop.stopper(), event_loop.signal_stopper());
    let other = thread::spawn(move || by_signal.stop());
    let last = stopper.clone();
    stopper.stop();
    event_loop.run().unwrap();
    other.join().unwrap();
    last.stop();
    event_loop.run().unwrap();
}

/// A callback that removes itself and another thread that removes it: one of them does (EV-701, EV-610).
fn remove_inside_x_remove_outside() {
    let (mut event_loop, registry, _world) = new_loop();
    let (removals, freed) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (inside, guard) = (removals.clone(), Freed(freed.clone()));
    let callback = move |event: eventry::registry::TimeoutEvent<'_>| {
        let _owned = &guard;
        match event.registry.remove_timeout(event.id) {
            Ok(Removal::InFlight) => drop(inside.fetch_add(1, SeqCst)),
            Ok(Removal::Idle) => panic!("I3: its own call was not found"),
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
    assert_eq!(freed.load(SeqCst), 1, "I5: freed once");
}

/// A callback adds while another thread removes it: what was added is not called in the same turn, and
/// in the next one it is (EV-506, EV-612).
fn add_inside_x_remove_outside() {
    let (mut event_loop, registry, _world) = new_loop();
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
        "I10: called in the turn it was added in"
    );
    let _either = remover.join().unwrap();
    turn(&mut event_loop);
    let (added, calls) = (added.load(SeqCst), calls.load(SeqCst));
    assert_eq!(
        calls, added,
        "I4: what was added is called in the next turn"
    );
}

/// When a removal that waits has returned, no call runs and none begins (EV-702).
fn remove_and_wait_x_dispatch() {
    let (mut event_loop, registry, world) = new_loop();
    let (running, gone) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    world.set_ready(FD.0, Events::READABLE);
    let (is_running, is_gone) = (running.clone(), gone.clone());
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        assert!(
            !is_gone.load(SeqCst),
            "I3: a call began after its handle was removed"
        );
        is_running.store(true, SeqCst);
        // A step that others can come in between of.
        world.set_ready(FD.0, Events::NONE);
        is_running.store(false, SeqCst);
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || {
        registry.remove_handle_and_wait(id).unwrap();
        assert!(
            !running.load(SeqCst),
            "I3: a call runs that the removal did not wait for"
        );
        gone.store(true, SeqCst);
    });
    turn(&mut event_loop);
    remover.join().unwrap();
    turn(&mut event_loop);
}

/// A callback that calls everything there is to call, while another thread does as well (EV-510, EV-613).
fn every_operation_inside_x_outside() {
    let (mut event_loop, registry, world) = new_loop();
    world.set_ready(FD.0, Events::READABLE);
    let (stopper, by_signal) = (event_loop.stopper(), event_loop.signal_stopper());
    let other = ModelSource(FD.0 + 1);
    let ignore = |_: eventry::registry::TimeoutEvent<'_>| {};
    let callback = move |event: eventry::registry::HandleEvent<'_, _>| {
        let (registry, id) = (event.registry, event.id);
        let called = |_: eventry::registry::HandleEvent<'_, _>| {};
        let added = registry.add_source(other, Events::READABLE, called);
        let handle = added.unwrap();
        let timeout = registry.add_timeout(FOR_EVER, ignore).unwrap();
        registry.update_handle(handle, Events::WRITABLE).unwrap();
        registry.update_timeout(timeout, None).unwrap();
        registry.remove_handle_and_wait(handle).unwrap();
        assert_eq!(registry.remove_timeout(timeout), Ok(Removal::Idle));
        let itself = registry.remove_handle_and_wait(id);
        assert!(itself.is_err(), "it would wait for itself");
        assert!(!registry.is_idle());
        stopper.stop();
        by_signal.stop();
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let outside = registry.clone();
    let thread = thread::spawn(move || {
        outside.update_handle(id, Events::READABLE).unwrap();
        let timeout = outside.add_timeout(FOR_EVER, ignore).unwrap();
        outside.remove_timeout_and_wait(timeout).unwrap();
    });
    event_loop.run().unwrap();
    thread.join().unwrap();
    assert_eq!(registry.remove_handle(id), Ok(Removal::Idle));
}

/// A loop that is dropped frees what was added before; what comes later is refused and comes back
/// (EV-714, EV-207).
fn drop_loop_x_add() {
    let (event_loop, registry, _world) = new_loop();
    let freed = Arc::<AtomicUsize>::default();
    let guard = Freed(freed.clone());
    // Or the table would be dropped, and free everything, with the adder's registry.
    let _kept = registry.clone();
    let adder = thread::spawn(move || {
        let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
            let _owned = &guard;
        };
        registry.add_timeout(Duration::ZERO, callback).is_ok()
    });
    drop(event_loop);
    let _either = adder.join().unwrap();
    assert_eq!(
        freed.load(SeqCst),
        1,
        "I5, I6: freed by the loop or given back"
    );
}

/// A removal under the very lock that the callback takes, as libvirt does it, ends (EV-708).
fn remove_under_the_callbacks_lock() {
    let (mut event_loop, registry, world) = new_loop();
    world.set_ready(FD.0, Events::READABLE);
    let lock = Arc::new(Mutex::new(()));
    let taken = lock.clone();
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| drop(taken.lock().unwrap());
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let remover = thread::spawn(move || {
        let _held = lock.lock().unwrap();
        let _either = registry.remove_handle(id).unwrap();
    });
    turn(&mut event_loop);
    remover.join().unwrap();
    turn(&mut event_loop);
}

/// The first call sees everything that the adding thread wrote before (EV-614).
fn add_x_first_call() {
    let (mut event_loop, registry, _world) = new_loop();
    let stopper = event_loop.stopper();
    // Relaxed on both sides: only the table can order them.
    let written = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
    let adder = thread::spawn(move || {
        written.store(1, Relaxed);
        let callback = move |_: eventry::registry::TimeoutEvent<'_>| {
            assert_eq!(
                written.load(Relaxed),
                1,
                "the call is ordered after the add"
            );
            stopper.stop();
        };
        registry.add_timeout(Duration::ZERO, callback).unwrap();
    });
    event_loop.run().unwrap();
    adder.join().unwrap();
}
