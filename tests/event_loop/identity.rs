//! Several registrations of one descriptor, and the thread that runs the loop.

use crate::support::{AT_ONCE, R, log, model_loop, ms, streams};
use eventry::EventLoop;
use eventry::poller::model::ModelSource;
use eventry::table::Removal;
use std::sync::mpsc::channel;
use std::thread;
use test_support::timeout::{bounded, wait_until};

// EV-711: the callback of an earlier registration is freed with it, also if the descriptor was registered again.
#[test]
fn removal_frees_the_callback_of_its_own_registration() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let add = |name: &'static str| {
        let freed = log.on_drop(&format!("free {name}"));
        let called = log.clone();
        registry
            .add_source(ModelSource(3), R, move |_| {
                freed.keep();
                called.record(name);
            })
            .unwrap()
    };
    let first = add("first");
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(registry.remove_handle(first), Ok(Removal::Idle));
    let second = add("second");
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["first", "free first", "second"]);
    assert_eq!(registry.remove_handle(second), Ok(Removal::Idle));
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["free second"]);
}

// EV-1101, EV-1106: the loop may move between threads. The thread that ran it before is no longer its runner, and
// may wait for a call that another thread makes.
#[test]
fn former_loop_thread_may_wait_for_a_call() {
    bounded("the test", || {
        let mut event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        event_loop.run_once(AT_ONCE).unwrap();
        let (entered, is_entered) = channel();
        let (resume, resumed) = channel::<()>();
        let id = registry
            .add_timeout(ms(0), move |_| {
                entered.send(()).unwrap();
                resumed.recv().unwrap();
            })
            .unwrap();
        let runner = thread::spawn(move || event_loop.run_once(None).unwrap());
        is_entered.recv().unwrap();
        // The call continues when the removal has begun, which makes the id unknown.
        let probe = registry.clone();
        let opener = thread::spawn(move || {
            wait_until("the removal has begun", || {
                probe.update_timeout(id, ms(0)).is_err()
            });
            resume.send(()).unwrap();
        });
        assert_eq!(registry.remove_timeout_and_wait(id), Ok(()));
        opener.join().unwrap();
        runner.join().unwrap();
    });
}

// EV-1007: two descriptor numbers of one open file are two descriptors.
#[test]
fn duplicates_of_a_descriptor_are_watched_independently() {
    let (log, records) = log();
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let (near, far) = streams();
    let duplicate = near.try_clone().unwrap();
    std::io::Write::write_all(&mut &far, b"x").unwrap();
    let mut ids = Vec::new();
    for (name, stream) in [("one", near), ("two", duplicate)] {
        let log = log.clone();
        let added = registry.add_handle(stream, R, move |_| log.record(name));
        ids.push(added.unwrap());
    }
    event_loop.run_once(AT_ONCE).unwrap();
    let mut called = records.take();
    called.sort();
    assert_eq!(called, ["one", "two"]);
    assert_eq!(registry.remove_handle(ids[0]), Ok(Removal::Idle));
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["two"]);
}
