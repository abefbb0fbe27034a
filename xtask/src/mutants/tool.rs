//! cargo-mutants, the program that makes the mutants.

use super::modules::{Group, Module};
use super::outcomes::{self, Outcome};
use crate::layout;
use crate::process::output_of;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version whose options and outcomes this task knows.
const VERSION: &str = "27.1.0";

/// Exit statuses of a complete run: all were caught, some were missed, some hung.
const COMPLETE: [i32; 3] = [0, 2, 3];

/// Installs cargo-mutants unless the right version is there.
pub(super) fn install() -> Result<()> {
    let found = Command::new("cargo")
        .args(["mutants", "--version"])
        .output()
        .context("cannot run cargo")?;
    let found = String::from_utf8_lossy(&found.stdout);
    if found.split_whitespace().last() == Some(VERSION) {
        return Ok(());
    }
    let status = Command::new("cargo")
        .args(["install", "--locked"])
        .arg(format!("cargo-mutants@{VERSION}"))
        // It parses for a second what is then compiled for minutes.
        .args(["--profile", "dev"])
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cannot install cargo-mutants {VERSION}: {status}");
    }
    Ok(())
}

/// Folder of this task for what it writes.
pub(super) fn work() -> PathBuf {
    layout::output("mutants")
}

/// A checkout of the project, of this commit or of an older one with a single package.
#[derive(Debug)]
pub(super) struct Checkout {
    pub(super) root: PathBuf,
    /// True if the daemon is a package of its own.
    has_daemon: bool,
}

impl Checkout {
    /// This repository.
    pub(super) fn own() -> Checkout {
        Checkout::at(layout::root())
    }

    pub(super) fn at(root: PathBuf) -> Checkout {
        let has_daemon = root.join(layout::DAEMON).join("Cargo.toml").exists();
        Checkout { root, has_daemon }
    }

    /// Package with the modules of a group.
    pub(super) fn package(&self, group: Group) -> &'static str {
        match group {
            Group::Protocol if self.has_daemon => layout::DAEMON_PACKAGE,
            Group::Protocol | Group::Loop => layout::LIBRARY_PACKAGE,
        }
    }

    /// Folder of a module in this checkout.
    pub(super) fn folder(&self, module: &Module) -> Option<&'static str> {
        let mut folders = module.folders.iter().copied();
        folders.find(|folder| self.root.join(folder).is_dir())
    }

    /// Arguments of cargo that select the tests of a group which take seconds.
    pub(super) fn fast_tests(&self, group: Group) -> Vec<String> {
        let mut arguments: Vec<&str> = Vec::new();
        if group == Group::Loop {
            arguments.extend(layout::BARE);
        }
        // cargo-mutants selects the package of the library itself.
        if group == Group::Protocol && self.has_daemon {
            arguments.push("--package=eventryd");
        }
        arguments.push("--lib");
        arguments.extend(match group {
            Group::Loop => &["--test=event_loop"][..],
            Group::Protocol if self.has_daemon => &["--test=protocol"],
            Group::Protocol => &[
                "--test=frame_properties",
                "--test=golden_traces",
                "--test=bad_input",
            ],
        });
        arguments.into_iter().map(str::to_owned).collect()
    }
}

/// Mutants of some files of one package, and the tests they are given to.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) checkout: &'a Checkout,
    pub(super) group: Group,
    /// Patterns of source files below the root.
    pub(super) files: Vec<String>,
}

impl Selection<'_> {
    fn options(&self) -> Vec<String> {
        let package = self.checkout.package(self.group).to_owned();
        let mut options = vec!["--package".to_owned(), package];
        for file in &self.files {
            options.extend(["--file".to_owned(), file.clone()]);
        }
        options
    }

    fn command(&self) -> Command {
        let mut command = Command::new("cargo");
        command.arg("mutants").current_dir(&self.checkout.root);
        command
    }

    /// Names of the mutants, with line and column. `only` are further options that select some.
    pub(super) fn list(&self, only: &[String]) -> Result<Vec<String>> {
        let mut command = self.command();
        command
            .args(["--list", "--json"])
            .args(only)
            .args(self.options());
        outcomes::parse_list(&output_of(&mut command)?)
    }

    /// Tests the mutants that `only` selects with `tests`, which are arguments of cargo.
    pub(super) fn test(
        &self,
        name: &str,
        only: &[String],
        tests: &[String],
    ) -> Result<Vec<Outcome>> {
        let output = work().join(name);
        remove(&output)?;
        fs::create_dir_all(&output)?;
        let status = self
            .command()
            .args(["--no-shuffle", "--colors=never"])
            .arg(format!("--output={}", output.display()))
            .args(self.options())
            .args(only)
            .args(tests.iter().map(|test| format!("--cargo-arg={test}")))
            .status()
            .context("cannot run cargo")?;
        if !status.code().is_some_and(|code| COMPLETE.contains(&code)) {
            bail!("cargo mutants ended with {status}");
        }
        outcomes::read(&output.join("mutants.out/outcomes.json"))
    }
}

/// Pattern of the files in a folder.
pub(super) fn files_in(folder: &str) -> String {
    format!("{folder}/**")
}

/// Removes a folder that may be missing.
fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
