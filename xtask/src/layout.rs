//! Paths of the repository that the tasks know, relative to its root.

use std::path::{Path, PathBuf};

/// List of deliberate defects.
pub(crate) const DEFECTS: &str = "verification/defects.toml";

/// Document that relates each defect to a promise.
pub(crate) const PROOF: &str = "docs/proof.md";

/// Heading in [`PROOF`] at which the table of promises ends.
pub(crate) const PROOF_PROMISES_END: &str = "## Bounds and counts";

/// Crate of the search, the generated sequences and the sleep.
pub(crate) const VERIFICATION: &str = "verification";

/// Sources that name the rules which a search or a sequence can find broken.
pub(crate) const RULES: &[&str] = &["verification/src/violation.rs"];

/// Test of the table's engines, in [`VERIFICATION`].
pub(crate) const ENGINES: &str = "verification/tests/engines.rs";

/// Test of the sleep, in [`VERIFICATION`].
pub(crate) const SLEEP: &str = "verification/tests/sleep.rs";

/// Sources of the loom models.
pub(crate) const MODELS: &[&str] = &[
    "verification/tests/loom/models.rs",
    "verification/tests/loom/workers.rs",
];

/// Crates with loom models, each with the arguments that select their test program.
pub(crate) const LOOM_PROGRAMS: &[(&str, &[&str])] =
    &[(VERIFICATION, &["--release", "--test=loom"])];

/// Tests of the loop, one file per module.
pub(crate) const EVENT_LOOP: &str = "tests/event_loop";

/// Root of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = xtask
        .parent()
        .expect("the crate is in a directory of the repository");
    root.to_owned()
}

/// Directory of a task for what it writes.
pub(crate) fn output(task: &str) -> PathBuf {
    root().join("target").join(task)
}
