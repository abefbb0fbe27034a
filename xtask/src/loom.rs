//! The loom models.

use crate::layout;
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes cargo, which tests the models of both packages.
pub(crate) fn run_task() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(layout::root())
        .args(["test", "--locked", "--release"])
        .envs(layout::LOOM_ENVIRONMENT.iter().copied())
        .env("CARGO_TARGET_DIR", layout::output("loom"));
    Err(cargo.exec()).context("cannot run cargo")
}
