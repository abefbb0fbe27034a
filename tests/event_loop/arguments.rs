//! Arguments of callbacks, and ids.

use crate::support::{
    AT_ONCE, R, W, add_recording_handle, log, model_loop, ms, on_each_backend, os_loop, streams,
};
use eventry::poller::model::ModelSource;
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;

// EV-310
#[test]
fn callback_gets_id_descriptor_and_pending_events() {
    on_each_backend(|backend| {
        let (near, _far) = streams();
        let fd = near.as_raw_fd();
        let (sender, received) = channel();
        let (mut event_loop, registry) = os_loop(backend);
        let id = registry
            .add_handle(near, R | W, move |event| {
                let seen = (event.id, event.source.as_raw_fd(), event.events);
                sender.send(seen).unwrap();
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [(id, fd, W)]);
    });
}

// EV-811
#[test]
fn a_timeouts_callback_gets_its_id() {
    let (mut event_loop, registry, model) = model_loop();
    let (sender, received) = channel();
    let id = registry
        .add_timeout(ms(1), move |event| sender.send(event.id).unwrap())
        .unwrap();
    model.advance(ms(1));
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(received.try_iter().collect::<Vec<_>>(), [id]);
}

// EV-203: the slot is reused at once, the id never.
#[test]
fn ids_do_not_repeat() {
    let (mut event_loop, registry, _model) = model_loop();
    let mut handles = BTreeSet::new();
    let mut timeouts = BTreeSet::new();
    for _ in 0..1_000 {
        let handle = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
        let timeout = registry.add_timeout(ms(1), |_| {}).unwrap();
        let _ = registry.remove_handle(handle).unwrap();
        let _ = registry.remove_timeout(timeout).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert!(handles.insert(handle), "{handle:?} was issued twice");
        assert!(timeouts.insert(timeout), "{timeout:?} was issued twice");
    }
}

// EV-206: also after another entry has taken the slot.
#[test]
fn stale_id_is_not_registered() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let stale = registry.add_source(ModelSource(3), R, |_| {}).unwrap();
    let stale_timeout = registry.add_timeout(ms(1), |_| {}).unwrap();
    let _ = registry.remove_handle(stale).unwrap();
    let _ = registry.remove_timeout(stale_timeout).unwrap();
    for freed in [false, true] {
        if freed {
            event_loop.run_once(AT_ONCE).unwrap();
            add_recording_handle(&registry, &log, 3, R, "live");
            registry.add_timeout(None, |_| {}).unwrap();
        }
        assert!(registry.remove_handle(stale).is_err());
        assert!(registry.update_handle(stale, W).is_err());
        assert!(registry.remove_timeout(stale_timeout).is_err());
        assert!(registry.update_timeout(stale_timeout, ms(0)).is_err());
    }
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(
        records.take(),
        ["live"],
        "the live handle kept its interest"
    );
}
