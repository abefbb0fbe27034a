//! Use by several threads, on the operating system's poller.

use crate::support::{AT_ONCE, LONG, R, W, log, model_loop, ms, on_each_backend, os_loop, streams};
use eventry::table::{NotRegistered, Removal};
use eventry::{EventLoop, Events, Registry, Stopper};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

// EV-1104
#[test]
fn a_registry_can_be_shared_and_a_loop_can_be_moved() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn moved<T: Send + 'static>() {}
    shared::<Registry>();
    shared::<Stopper>();
    moved::<EventLoop>();
}

/// Calls all six operations on new entries.
fn use_everything(registry: &Registry) {
    let (near, _far) = streams();
    let handle = registry.add_handle(near, R, |_| {}).unwrap();
    registry.update_handle(handle, R | W).unwrap();
    registry.update_handle(handle, Events::NONE).unwrap();
    assert!(registry.remove_handle(handle).is_ok());
    let timeout = registry.add_timeout(ms(1_000), |_| {}).unwrap();
    registry.update_timeout(timeout, ms(2_000)).unwrap();
    assert!(registry.remove_timeout(timeout).is_ok());
}

// EV-510, EV-613, EV-708: no operation waits for the running callback.
#[test]
fn every_operation_returns_while_a_callback_runs() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (started, has_started) = channel();
        let (done, is_done) = channel::<()>();
        let id = registry
            .add_timeout(ms(0), move |_| {
                started.send(()).unwrap();
                is_done.recv().unwrap();
                log.record("end of the call");
            })
            .unwrap();
        let other = thread::spawn(move || {
            has_started.recv().unwrap();
            use_everything(&registry);
            registry.update_timeout(id, ms(5)).unwrap();
            assert_eq!(registry.remove_timeout(id), Ok(Removal::InFlight));
            assert_eq!(registry.remove_timeout(id), Err(NotRegistered));
            done.send(()).unwrap();
        });
        event_loop.run_once(LONG).unwrap();
        other.join().unwrap();
        assert_eq!(records.take(), ["end of the call"]);
    });
}

// EV-510: no operation of the callback waits for the callback itself.
#[test]
fn every_operation_can_be_called_by_a_callback() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, _far) = streams();
        registry
            .add_handle(near, W, move |event| {
                use_everything(event.registry);
                event.registry.update_handle(event.id, R).unwrap();
                assert!(event.registry.remove_handle(event.id).is_ok());
                log.record("called");
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["called"]);
    });
}

// EV-613, EV-614, case Z: the loop may already sleep or be about to.
#[test]
fn a_sleeping_loop_serves_what_another_thread_adds() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        let (entered, has_entered) = channel();
        let (called, was_called) = channel();
        let other = thread::spawn(move || {
            for round in 0..200 {
                has_entered.recv().unwrap();
                let called = called.clone();
                if round % 2 == 0 {
                    let (near, _far) = streams();
                    let added = registry.add_handle(near, W, move |event| {
                        called.send(round).unwrap();
                        let _ = event.registry.remove_handle(event.id).unwrap();
                    });
                    added.unwrap();
                } else {
                    let added = registry.add_timeout(ms(0), move |event| {
                        called.send(round).unwrap();
                        let _ = event.registry.remove_timeout(event.id).unwrap();
                    });
                    added.unwrap();
                }
            }
        });
        for round in 0..200 {
            entered.send(()).unwrap();
            let called = loop {
                event_loop.run_once(None).unwrap();
                if let Ok(called) = was_called.try_recv() {
                    break called;
                }
            };
            assert_eq!(called, round);
        }
        other.join().unwrap();
    });
}

// EV-701
#[test]
fn of_many_removers_exactly_one_succeeds() {
    const REMOVERS: usize = 4;
    let (mut event_loop, registry, _model) = model_loop();
    for _ in 0..200 {
        let id = registry.add_timeout(ms(1), |_| {}).unwrap();
        let start = Arc::new(Barrier::new(REMOVERS));
        let removers = [(); REMOVERS].map(|()| {
            let (registry, start) = (registry.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                registry.remove_timeout(id).is_ok()
            })
        });
        let succeeded = removers.map(|remover| usize::from(remover.join().unwrap()));
        assert_eq!(succeeded.iter().sum::<usize>(), 1);
        event_loop.run_once(AT_ONCE).unwrap();
    }
}

// EV-1101, EV-1102: threads may run the loop one after the other, and callbacks run on the thread that does.
#[test]
fn callbacks_run_on_the_thread_that_runs_the_loop() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        let (sender, received) = channel();
        registry
            .add_timeout(ms(0), move |_| sender.send(thread::current().id()).unwrap())
            .unwrap();
        for _ in 0..3 {
            let runner = thread::spawn(move || {
                event_loop.run_once(AT_ONCE).unwrap();
                event_loop
            });
            let ran_on = runner.thread().id();
            event_loop = runner.join().unwrap();
            assert_eq!(received.try_iter().collect::<Vec<_>>(), [ran_on]);
        }
    });
}
