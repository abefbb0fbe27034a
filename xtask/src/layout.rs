//! Paths of the repository that the tasks know, relative to its root.

use std::path::{Path, PathBuf};

/// List of deliberate defects.
pub(crate) const DEFECTS: &str = "verification/defects.toml";

/// List of what breaks each claim.
pub(crate) const CLAIMS: &str = "verification/claims.toml";

/// Record of the last full run of all mutants.
pub(crate) const MUTANTS: &str = "docs/mutants.md";

/// Table of the claims and their tests.
pub(crate) const CLAIM_TABLE: &str = "docs/event-api.md";

/// Crate of the fuzz targets.
pub(crate) const FUZZ: &str = "fuzz";

/// Instructions of the benchmark cases.
pub(crate) const INSTRUCTIONS: &str = "benches/instructions.tsv";

/// Script that runs the stages.
pub(crate) const RUN: &str = "tests/run";

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
pub(crate) const SLEEP: &str = "verification/tests/sleep/main.rs";

/// Sources of the loom models.
pub(crate) const MODELS: &[&str] = &["tests/loom/models.rs", "eventryd/tests/loom/models.rs"];

/// Crates with loom models, each with the arguments that select their test program.
pub(crate) const LOOM_PROGRAMS: &[(&str, &[&str])] = &[("", &["--release", "--test=loom"])];

/// Environment in which the loom models are built: optimised, with assertions, and linked without optimisation
/// across crates, as the programs run once.
pub(crate) const LOOM_ENVIRONMENT: &[(&str, &str)] = &[
    ("RUSTFLAGS", "--cfg loom"),
    ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// Tests of the loop, one file per module.
pub(crate) const EVENT_LOOP: &str = "tests/event_loop";

/// Package of the library, in the root of the repository.
pub(crate) const LIBRARY_PACKAGE: &str = "eventry";

/// Directory of the daemon's package.
pub(crate) const DAEMON: &str = "eventryd/";

/// Tests of the daemon, one program per file or folder.
pub(crate) const DAEMON_TESTS: &str = "eventryd/tests";

/// Package of the daemon.
pub(crate) const DAEMON_PACKAGE: &str = "eventryd";

/// Features of the library without the daemon, with its C functions.
pub(crate) const BARE: &[&str] = &["--no-default-features", "--features=capi"];

/// Sources of the C conformance program.
pub(crate) const C_TESTS: &str = "tests/capi";

/// Root of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = xtask
        .parent()
        .expect("the crate is in a directory of the repository");
    root.to_owned()
}

/// Target directory of the workspace.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Directory of a task for what it writes.
pub(crate) fn output(task: &str) -> PathBuf {
    target().join(task)
}
