//! Handles that are disabled and enabled again.

use crate::support::{
    AT_ONCE, R, W, add_recording_timeout, log, ms, on_each_backend, os_loop, streams,
};
use eventry::Events;
use rustix::pipe::pipe;

// EV-401
#[test]
fn a_disabled_handle_is_not_called_even_for_a_hangup() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (reader, _) = pipe().unwrap();
        let id = registry
            .add_handle(reader, R, move |_| log.record("called"))
            .unwrap();
        registry.update_handle(id, Events::NONE).unwrap();
        for _ in 0..3 {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(records.take(), [""; 0]);
    });
}

// EV-401, EV-908: epoll reports hang-ups independent of the mask, so a disabled descriptor must not be registered.
// Otherwise every wait would end at once, and 50 ms would take many turns.
#[test]
fn a_hangup_on_a_disabled_handle_does_not_end_the_wait() {
    on_each_backend(|backend| {
        let (mut event_loop, registry) = os_loop(backend);
        let (added_disabled, _) = pipe().unwrap();
        let (disabled_later, _) = pipe().unwrap();
        registry
            .add_handle(added_disabled, Events::NONE, |_| {})
            .unwrap();
        let id = registry.add_handle(disabled_later, R, |_| {}).unwrap();
        registry.update_handle(id, Events::NONE).unwrap();

        let (log, records) = log();
        add_recording_timeout(&registry, &log, ms(50), "fired");
        let (_, turns) = records.next(&mut event_loop);
        assert!(turns <= 5, "{turns} turns for one timeout");
    });
}

// EV-402
#[test]
fn an_enabled_handle_is_called_again_under_its_old_id() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, _far) = streams();
        let mut calls = 0;
        let id = registry
            .add_handle(near, W, move |event| {
                calls += 1;
                log.record(format!("{:?} {calls}", event.id));
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        registry.update_handle(id, Events::NONE).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        registry.update_handle(id, W).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), [format!("{id:?} 1"), format!("{id:?} 2")]);
    });
}

// EV-402: added disabled.
#[test]
fn a_handle_added_disabled_can_be_enabled() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (near, _far) = streams();
        let id = registry
            .add_handle(near, Events::NONE, move |_| log.record("called"))
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), [""; 0]);
        registry.update_handle(id, W).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["called"]);
    });
}
