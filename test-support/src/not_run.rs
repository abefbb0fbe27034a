//! Tests that the machine does not allow.

use std::io::Write;

/// Reports that a test is not run, and why. The summary of `tests/run` names it.
///
/// The line is not captured by the test harness, as it must be seen although the test passes.
pub fn not_run(test: &str, why: &str) {
    // A closed standard error is no fault of the test.
    let _ = writeln!(std::io::stderr(), "not run: {test}: {why}");
}
