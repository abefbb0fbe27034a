//! Registrations that are refused.

use crate::support::{
    AT_ONCE, E, R, W, add_recording_handle, log, model_loop, on_each_backend, os_loop, streams,
};
use eventry::MonotonicTime;
use eventry::poller::model::ModelSource;
use eventry::table::{Change, FreedEntries, NotRegistered, Refused, Removal, Table, TakenCall};
use rustix::fs::{Mode, OFlags, open};
use std::io::{ErrorKind, Read, Write};

// EV-1001: the poller gets registrations when the loop next sleeps. A handle whose descriptor is refused is called
// once with an error, and is disabled.
#[test]
fn refused_descriptor_reports_one_error() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    model.refuse_registrations(Some(ErrorKind::PermissionDenied));
    let id = registry
        .add_source(ModelSource(3), R, move |event| {
            log.record(format!("{:?}", event.events));
        })
        .unwrap();
    for _ in 0..4 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(records.take(), ["ERROR"]);
    assert_eq!(model.registered(), []);

    // The handle can be enabled again, and is called once the poller accepts the descriptor.
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["ERROR"]);
    model.refuse_registrations(None);
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["READABLE"]);
}

// A refusal is work for the loop, which must not sleep.
#[test]
fn refusal_prevents_sleep() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    add_recording_handle(&registry, &log, 3, R, "called");
    event_loop.run_once(None).unwrap();
    assert_eq!(records.take(), ["called"]);
}

// Every handle of the descriptor is called, except removed and disabled ones.
#[test]
fn a_refusal_reaches_every_enabled_handle_of_the_descriptor() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let add =
        |name: &'static str, interest| add_recording_handle(&registry, &log, 3, interest, name);
    add("first", R);
    add("disabled", eventry::Events::NONE);
    let removed = add("removed", R);
    add("last", W);
    assert_eq!(registry.remove_handle(removed), Ok(Removal::Idle));
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["first", "last"]);
}

// A refused change of interest ends the old registration. Otherwise its events would be stale and be reported
// repeatedly.
#[test]
fn a_refused_change_of_interest_ends_the_registration() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let id = registry
        .add_source(ModelSource(3), R, move |event| {
            log.record(format!("{:?}", event.events));
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    registry.update_handle(id, R | W).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["READABLE", "ERROR"]);
    assert_eq!(model.registered(), []);

    model.refuse_registrations(None);
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["READABLE"]);
}

// The kernel refuses an O_PATH descriptor, which cannot be polled.
#[test]
fn a_descriptor_that_the_kernel_refuses_is_an_error_once() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let path = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        registry
            .add_handle(path, R, move |event| {
                log.record(format!("{:?}", event.events));
            })
            .unwrap();
        for _ in 0..3 {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(records.take(), ["ERROR"]);
    });
}

/// Takes one call, although another one may be out.
fn next_call<P>(table: &mut Table<P>) -> Option<TakenCall<P>> {
    let mut batch = Vec::new();
    table.take_calls(&mut batch, 1);
    batch.pop()
}

// EV-1001: a poller may detect later that a registration cannot be polled, and reports its token.
#[test]
fn a_registration_that_the_poller_lost_is_an_error_once() {
    let mut table = Table::new(0);
    let (id, _) = table.add_handle(3, (), R, "handle").unwrap();
    let Some(Change::Register { token, .. }) = table.next_change() else {
        panic!("no change to register");
    };
    table.lost(token);
    table.begin_turn(MonotonicTime::ZERO, []);
    let call = next_call(&mut table).expect("the handle is called");
    assert_eq!((call.id(), call.events()), (id.into(), E));
    table.finish(call);
    assert!(next_call(&mut table).is_none());
    assert!(!table.has_changes(), "the handle is not disabled");

    // An enabled handle is registered with a new token, and reports with the old token are ignored.
    let effects = table.update_handle(id, R).unwrap();
    assert!(effects.deregister.is_none());
    assert!(
        matches!(table.next_change(), Some(Change::Register { token: new, .. }) if new != token)
    );
    table.lost(token);
    table.begin_turn(MonotonicTime::ZERO, []);
    assert!(next_call(&mut table).is_none());
}

// Two changes that cancel each other out within a turn cause no call of the poller.
#[test]
fn changes_that_cancel_out_do_not_reach_the_poller() {
    let (mut event_loop, registry, model) = model_loop();
    // The poller would refuse any registration, and the handle would be called with an error.
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let (log, records) = log();
    let id = add_recording_handle(&registry, &log, 3, R, "called");
    assert_eq!(registry.remove_handle(id), Ok(Removal::Idle));
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), [""; 0]);
}

// EV-208
#[test]
fn a_negative_number_is_not_a_descriptor() {
    let (log, records) = log();
    let (_event_loop, registry, _model) = model_loop();
    for fd in [-1, i32::MIN] {
        let freed = log.on_drop("free");
        let refused = registry.add_source(ModelSource(fd), R, move |_| freed.keep());
        assert!(matches!(
            refused.unwrap_err().reason,
            Refused::NotADescriptor(number) if number == fd
        ));
        assert_eq!(records.take(), ["free"]);
    }
}

// EV-207: the descriptor stays open, and the callback is neither called nor dropped.
#[test]
fn failed_addition_returns_source_and_callback() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (event_loop, registry) = os_loop(backend);
        drop(event_loop);
        let (near, mut far) = streams();
        let freed = log.on_drop("free handle");
        let error = registry.add_handle(near, R, move |_| freed.keep());
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "cannot add: the event loop is gone");
        let reason = std::error::Error::source(&error).unwrap();
        assert_eq!(reason.to_string(), "the event loop is gone");
        let (mut near, callback) = error.into_parts();
        near.write_all(b"open").unwrap();
        far.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(records.take(), [""; 0]);
        drop(callback);
        assert_eq!(records.take(), ["free handle"]);

        let freed = log.on_drop("free timeout");
        let error = registry.add_timeout(AT_ONCE, move |_| freed.keep());
        let error = error.unwrap_err();
        assert_eq!(records.take(), [""; 0]);
        assert_eq!(error.into_reason(), Refused::Closed);
        assert_eq!(records.take(), ["free timeout"]);
    });
}

// EV-207: also for a source of the poller.
#[test]
fn failed_add_source_returns_the_source() {
    let (log, records) = log();
    let (_event_loop, registry, _model) = model_loop();
    let freed = log.on_drop("free");
    let added = registry.add_source(ModelSource(-3), R, move |_| freed.keep());
    let (source, callback) = added.unwrap_err().into_parts();
    assert_eq!(source, ModelSource(-3));
    assert_eq!(records.take(), [""; 0]);
    drop(callback);
    assert_eq!(records.take(), ["free"]);
}

// EV-205: the table has issued no id.
#[test]
fn empty_table_rejects_every_id() {
    let (_event_loop, registry, _model) = model_loop();
    let (_other_loop, other, _model) = model_loop();
    let handle = other.add_source(ModelSource(3), R, |_| {}).unwrap();
    assert_eq!(registry.remove_handle(handle), Err(NotRegistered));
}

// EV-1001: two refusals before the report of the first cause one report.
#[test]
fn two_refusals_before_a_turn_are_one_call() {
    let (log, records) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let id = registry
        .add_source(ModelSource(3), R, move |event| {
            log.record(format!("{:?}", event.events));
            event.registry.update_handle(event.id, R).unwrap();
        })
        .unwrap();
    model.fail_next_wait(ErrorKind::OutOfMemory);
    event_loop.run_once(AT_ONCE).unwrap_err();
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(records.take(), ["ERROR"]);
}

// EV-1001: a turn that is not completed drops no refusal, and the invariants hold while refusals are pending.
#[test]
fn refusal_survives_an_unfinished_turn() {
    let mut table: Table<&str> = Table::new(0);
    for name in ["first", "second"] {
        let (_, effects) = table.add_handle(3, (), R, name).unwrap();
        assert!(effects.deregister.is_none());
    }
    assert_eq!(table.next_change().unwrap().fd(), 3);
    table.refused(3);
    for name in ["first", "second"] {
        assert!(table.is_busy());
        table.begin_turn(MonotonicTime::ZERO, []);
        table.check_invariants().unwrap();
        let call = next_call(&mut table).expect("the handle is called");
        assert_eq!(call.payload, name);
        table.finish(call);
    }
    assert!(!table.is_busy());
    table.begin_turn(MonotonicTime::ZERO, []);
    assert!(next_call(&mut table).is_none());
}

// The removal of a handle drops its pending refusal. Otherwise refusals would accumulate in a loop whose waits
// fail.
#[test]
fn removal_drops_the_pending_refusal() {
    let mut table: Table<&str> = Table::new(0);
    let (id, _) = table.add_handle(3, (), R, "removed").unwrap();
    assert_eq!(table.next_change().unwrap().fd(), 3);
    table.refused(3);
    let (removal, _) = table.remove_handle(id).unwrap();
    assert_eq!(removal, Removal::Idle);
    table.begin_frees();
    let mut freed = FreedEntries::default();
    assert!(table.take_free(&mut freed));
    assert_eq!(freed.payloads, ["removed"]);
    assert!(!table.is_busy());
}
