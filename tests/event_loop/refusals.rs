//! Registrations that are refused.

use crate::support::{
    AT_ONCE, E, R, W, handle_that_notes, log, model_loop, on_each_backend, os_loop, streams,
};
use eventry::MonotonicTime;
use eventry::poller::model::ModelSource;
use eventry::table::{Change, DueCall, NotRegistered, Refused, Removal, Table};
use rustix::fs::{Mode, OFlags, open};
use std::io::{ErrorKind, Read, Write};

// EV-1001: registrations are told to the poller when the loop next sleeps; a handle whose descriptor is
// refused then hears of it once, and is disabled.
#[test]
fn refused_descriptor_reports_one_error() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    model.refuse_registrations(Some(ErrorKind::PermissionDenied));
    let id = registry
        .add_source(ModelSource(3), R, move |event| {
            log.note(format!("{:?}", event.events));
        })
        .unwrap();
    for _ in 0..4 {
        event_loop.run_once(AT_ONCE).unwrap();
    }
    assert_eq!(heard.take(), ["ERROR"]);
    assert_eq!(model.registered(), []);

    // It can be enabled again, and is called when the poller takes it.
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["ERROR"]);
    model.refuse_registrations(None);
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["READABLE"]);
}

// A loop that would sleep for ever is told by the poller's refusal that there is something to do.
#[test]
fn a_refusal_keeps_the_loop_from_sleeping() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    handle_that_notes(&registry, &log, 3, R, "called");
    event_loop.run_once(None).unwrap();
    assert_eq!(heard.take(), ["called"]);
}

// Every handle of the descriptor hears of it, removed and disabled ones excepted.
#[test]
fn a_refusal_reaches_every_enabled_handle_of_the_descriptor() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let add = |name: &'static str, interest| handle_that_notes(&registry, &log, 3, interest, name);
    add("first", R);
    add("disabled", eventry::Events::NONE);
    let removed = add("removed", R);
    add("last", W);
    assert_eq!(registry.remove_handle(removed), Ok(Removal::Idle));
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["first", "last"]);
}

// A change of interest that the poller refuses leaves nothing of the old registration behind: an event of
// it would belong to nobody, and be reported again and again.
#[test]
fn a_refused_change_of_interest_ends_the_registration() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    let id = registry
        .add_source(ModelSource(3), R, move |event| {
            log.note(format!("{:?}", event.events));
        })
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    registry.update_handle(id, R | W).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["READABLE", "ERROR"]);
    assert_eq!(model.registered(), []);

    model.refuse_registrations(None);
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["READABLE"]);
}

// The same by the kernel: an O_PATH descriptor cannot be polled.
#[test]
fn a_descriptor_that_the_kernel_refuses_is_an_error_once() {
    on_each_backend(|backend| {
        let (log, heard) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let path = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        registry
            .add_handle(path, R, move |event| {
                log.note(format!("{:?}", event.events));
            })
            .unwrap();
        for _ in 0..3 {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(heard.take(), ["ERROR"]);
    });
}

// EV-1001: a poller may find out later than when it was told, and then it says so by the token.
#[test]
fn a_registration_that_the_poller_lost_is_an_error_once() {
    let mut table = Table::new(0);
    let (id, _) = table.add_handle(3, (), R, "handle").unwrap();
    let Some(Change::Register { token, .. }) = table.next_change() else {
        panic!("nothing to register");
    };
    table.lost(token);
    table.begin_turn(MonotonicTime::ZERO, []);
    match table.next_call() {
        Some(DueCall::Handle {
            events, payload, ..
        }) => {
            assert_eq!(events, E);
            table.finish_handle(id, payload);
        }
        other => panic!("{other:?}"),
    }
    assert!(table.next_call().is_none());
    assert!(!table.has_changes(), "it is disabled");

    // Enabled again, it is registered anew, and what is said of the old registration means nothing.
    let effects = table.update_handle(id, R).unwrap();
    assert!(effects.deregister.is_none());
    assert!(
        matches!(table.next_change(), Some(Change::Register { token: new, .. }) if new != token)
    );
    table.lost(token);
    table.begin_turn(MonotonicTime::ZERO, []);
    assert!(table.next_call().is_none());
}

// Two changes that cancel each other out within a turn cost the poller nothing.
#[test]
fn changes_that_cancel_out_are_not_told_to_the_poller() {
    let (mut event_loop, registry, model) = model_loop();
    // Whatever reached the poller would be refused, and heard of.
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let (log, heard) = log();
    let id = handle_that_notes(&registry, &log, 3, R, "called");
    assert_eq!(registry.remove_handle(id), Ok(Removal::Idle));
    event_loop.run_once(AT_ONCE).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), [""; 0]);
}

// EV-208
#[test]
fn a_negative_number_is_not_a_descriptor() {
    let (log, heard) = log();
    let (_event_loop, registry, _model) = model_loop();
    for fd in [-1, i32::MIN] {
        let freed = log.on_drop("free");
        let refused = registry.add_source(ModelSource(fd), R, move |_| freed.keep());
        assert!(matches!(
            refused.unwrap_err().reason,
            Refused::NotADescriptor(number) if number == fd
        ));
        assert_eq!(heard.take(), ["free"]);
    }
}

// EV-207: the descriptor is as it was, and the callback is neither called nor dropped.
#[test]
fn a_failed_addition_gives_back_source_and_callback() {
    on_each_backend(|backend| {
        let (log, heard) = log();
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
        assert_eq!(heard.take(), [""; 0]);
        drop(callback);
        assert_eq!(heard.take(), ["free handle"]);

        let freed = log.on_drop("free timeout");
        let error = registry.add_timeout(AT_ONCE, move |_| freed.keep());
        let error = error.unwrap_err();
        assert_eq!(heard.take(), [""; 0]);
        assert_eq!(error.into_reason(), Refused::Closed);
        assert_eq!(heard.take(), ["free timeout"]);
    });
}

// EV-207: also by the name that the poller knows descriptors by.
#[test]
fn a_failed_addition_of_a_source_gives_it_back() {
    let (log, heard) = log();
    let (_event_loop, registry, _model) = model_loop();
    let freed = log.on_drop("free");
    let added = registry.add_source(ModelSource(-3), R, move |_| freed.keep());
    let (source, callback) = added.unwrap_err().into_parts();
    assert_eq!(source, ModelSource(-3));
    assert_eq!(heard.take(), [""; 0]);
    drop(callback);
    assert_eq!(heard.take(), ["free"]);
}

// EV-205: nothing was ever issued.
#[test]
fn an_empty_table_knows_no_id() {
    let (_event_loop, registry, _model) = model_loop();
    let (_other_loop, other, _model) = model_loop();
    let handle = other.add_source(ModelSource(3), R, |_| {}).unwrap();
    assert_eq!(registry.remove_handle(handle), Err(NotRegistered));
}

// EV-1001: a second refusal before the first was reported is not reported on its own.
#[test]
fn two_refusals_before_a_turn_are_one_call() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let id = registry
        .add_source(ModelSource(3), R, move |event| {
            log.note(format!("{:?}", event.events));
            event.registry.update_handle(event.id, R).unwrap();
        })
        .unwrap();
    model.fail_next_wait(ErrorKind::OutOfMemory);
    event_loop.run_once(AT_ONCE).unwrap_err();
    registry.update_handle(id, R).unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["ERROR"]);
}

// EV-1001: a turn that is given up takes no refusal with it, and what waits for its call is no
// contradiction at any time.
#[test]
fn a_refusal_outlives_a_turn_that_is_given_up() {
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
        let called = table.next_call();
        let Some(DueCall::Handle { id, payload, .. }) = called else {
            panic!("{called:?}");
        };
        assert_eq!(payload, name);
        table.finish_handle(id, payload);
    }
    assert!(!table.is_busy());
    table.begin_turn(MonotonicTime::ZERO, []);
    assert!(table.next_call().is_none());
}

// Nothing is left of a refusal when its handle goes before it was called, or a loop whose wait fails
// would collect them.
#[test]
fn a_removed_handle_leaves_no_refusal_behind() {
    let mut table: Table<&str> = Table::new(0);
    let (id, _) = table.add_handle(3, (), R, "removed").unwrap();
    assert_eq!(table.next_change().unwrap().fd(), 3);
    table.refused(3);
    let (removal, _) = table.remove_handle(id).unwrap();
    assert_eq!(removal, Removal::Idle);
    table.begin_frees();
    assert!(matches!(table.next_call(), Some(DueCall::Free { .. })));
    assert!(!table.is_busy());
}
