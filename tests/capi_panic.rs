//! A panic does not cross into C (EV-514): a process of its own shows it.

#![cfg(all(feature = "capi", not(loom)))]

use eventry::capi::{eventry_register, eventry_run_once};
use eventry::event_impl;
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;
use test_support::timeout::bounded;

const INSIDE: &str = "EVENTRY_TEST_PANICS";

#[test]
fn a_panic_ends_the_process_with_its_message() {
    if env::var_os(INSIDE).is_some() {
        assert_eq!(eventry_register(), 0);
        let callback = Box::new(|_| panic!("on purpose"));
        event_impl::add_timeout(Some(Duration::ZERO), callback).unwrap();
        eventry_run_once();
        unreachable!("the turn returned");
    }
    let mut inside = Command::new(env::current_exe().unwrap());
    inside
        .args(["--exact", "a_panic_ends_the_process_with_its_message"])
        .arg("--nocapture")
        .env(INSIDE, "1");
    let output = bounded("the process that panics", move || inside.output().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    let abort = 6;
    assert_eq!(output.status.signal(), Some(abort), "{said}");
    assert!(said.contains("panicked: on purpose"), "{said}");
    assert!(!said.contains("the turn returned"), "{said}");
}
