//! A loop on its own thread.

use crate::support::{R, log, ms, streams};
use eventry::EventLoop;
use std::io::Write;
use std::sync::mpsc::channel;
use std::thread;
use test_support::timeout::bounded;

#[test]
fn drop_stops_the_loop_and_frees_on_its_thread() {
    bounded("the test", || {
        let (log, records) = log();
        let loop_thread = EventLoop::new().unwrap().spawn("events").unwrap();
        let (near, mut far) = streams();
        let freed = log.on_drop("free");
        let (sender, received) = channel();
        loop_thread
            .registry()
            .add_handle(near, R, move |event| {
                freed.keep();
                sender
                    .send(thread::current().name().map(str::to_owned))
                    .unwrap();
                event
                    .registry
                    .update_handle(event.id, eventry::Events::NONE)
                    .unwrap();
            })
            .unwrap();
        far.write_all(b"x").unwrap();
        assert_eq!(received.recv().unwrap().as_deref(), Some("events"));
        assert_eq!(records.take(), [""; 0]);
        drop(loop_thread);
        assert_eq!(records.take(), ["free"]);
    });
}

#[test]
fn join_returns_the_error_that_ended_the_loop() {
    bounded("the test", || {
        let loop_thread = EventLoop::new().unwrap().spawn("events").unwrap();
        let registry = loop_thread.registry();
        let (entered, is_entered) = channel();
        registry
            .add_timeout(ms(0), move |_| -> () {
                entered.send(()).unwrap();
                panic!("on purpose")
            })
            .unwrap();
        is_entered.recv().unwrap();
        let error = loop_thread.join().unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
        // The loop was dropped with its thread.
        assert!(registry.add_timeout(ms(0), |_| {}).is_err());
    });
}

// EV-907: a callback that joins its own thread stops the loop without waiting for it.
#[test]
fn a_callback_may_join_its_own_loop() {
    bounded("the test", || {
        let loop_thread = EventLoop::new().unwrap().spawn("events").unwrap();
        let registry = loop_thread.registry();
        let (sender, received) = channel();
        let mut owned = Some(loop_thread);
        registry
            .add_timeout(ms(0), move |_| {
                if let Some(own) = owned.take() {
                    own.join().unwrap();
                    sender.send(()).unwrap();
                }
            })
            .unwrap();
        received.recv().unwrap();
    });
}
