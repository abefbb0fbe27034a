//! The checks are alive: each planted mistake is caught by the check that is named here, and without
//! one all are silent.
//!
//! Both the search and the properties must notice the seven mistakes of the table. `tests/loom.rs` plants
//! as well: there L3 and L3b must notice a missing wake for a nearer deadline, L3c and L3d one for a
//! change of a handle, L6b a wake that comes before what it is for, L9 a waiter who is not told, L1 a free while the callback runs, and L4 a lost cancel.

#[cfg(not(eventry_verification))]
compile_error!(
    "planting a defect needs `--cfg eventry_verification`: run cargo in `verification/`, whose \
     configuration sets it, or put it into RUSTFLAGS"
);

mod common;

use eventry::Events;
use eventry::planted::{Defect, plant};
use eventry_verification::explore::{Adds, Bounds, explore};

/// Bounds small enough to take no time, and large enough for every mistake in the table.
fn bounds() -> Bounds {
    let (readable, writable) = (Events::READABLE, Events::WRITABLE);
    Bounds {
        adds: Adds::Ever(2),
        fds: vec![0],
        interests: vec![Events::NONE, readable, writable],
        ready: vec![Events::NONE, readable],
        intervals: vec![Some(0)],
        refusals: true,
        rebuilds: true,
        samples: false,
        abandon: false,
        depth: usize::MAX,
    }
}

/// Plants `defect` and expects the search to end with a violation of `rule`, and the properties to fail.
fn is_caught(defect: Defect, rule: &str) {
    plant(Some(defect));
    let found = explore(&bounds());
    let generated = common::run(1_500, 600);
    plant(None);
    let (ops, violation) = found.violation.expect("the search notices");
    println!("{defect:?}: {violation}\n  after {ops:?}");
    assert_eq!(violation.rule, rule);
    assert!(generated.is_err(), "the properties notice");
}

#[test]
fn a_lost_cancel_is_caught_by_the_free_queue_check() {
    is_caught(Defect::LostCancel, "I7");
}

#[test]
fn an_early_free_is_caught_by_the_order_of_frees() {
    is_caught(Defect::EarlyFree, "I5");
}

#[test]
fn a_free_while_running_is_caught_by_the_truth_of_removal() {
    is_caught(Defect::FreeWhileRunning, "I3");
}

#[test]
fn a_stale_token_is_caught_by_the_sequence_of_calls() {
    is_caught(Defect::StaleTokenAccepted, "I4");
}

#[test]
fn a_deferred_deregistration_is_caught_by_what_the_poller_was_told() {
    is_caught(Defect::DeregistrationDeferred, "I13");
}

#[test]
fn a_forgotten_refusal_is_caught_by_the_check_of_sleep() {
    is_caught(Defect::RefusalForgotten, "I17");
}

#[test]
fn a_rebuilt_poller_that_is_not_told_anew_is_caught_by_the_check_of_sleep() {
    is_caught(Defect::RebuildForgotten, "I17");
}

/// These are mistakes of the shell, which the table does not have: loom catches them, models L3 to L3d.
#[test]
fn a_missing_wake_is_not_the_tables_mistake() {
    for defect in [
        Defect::NoWakeForNearerDeadline,
        Defect::NoWakeForChange,
        Defect::WakeBeforeSignal,
        Defect::WaiterForgotten,
    ] {
        plant(Some(defect));
        let found = explore(&bounds());
        plant(None);
        assert_eq!(found.violation, None);
    }
}

#[test]
fn nothing_is_reported_when_nothing_is_planted() {
    let found = explore(&bounds());
    assert_eq!(found.violation, None);
    assert!(found.fixpoint);
    common::run(200, 600).unwrap_or_else(|failure| panic!("{failure}"));
}
