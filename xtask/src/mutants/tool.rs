//! cargo-mutants, the program that makes the mutants.

use super::modules::{Group, Module, inner_folders, module_of};
use super::outcomes::{self, Outcome};
use crate::layout;
use crate::process::output_of;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::env;
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

    /// Target directory of all runs, so that the dependencies are built once. Removes what is left of this workspace
    /// from other runs, each of which builds it in a folder of another name. Mutants that are tested at the same time
    /// need a directory each, which cargo-mutants makes.
    fn shared_builds(&self) -> Result<Option<PathBuf>> {
        let jobs = env::var("CARGO_MUTANTS_JOBS").unwrap_or("1".to_owned());
        if jobs != "1" || !self.has_daemon {
            return Ok(None);
        }
        let builds = work().join("builds");
        if builds.exists() {
            let mut clean = Command::new("cargo");
            clean
                .current_dir(&self.root)
                .args(["clean", "--quiet", "--profile=mutants"])
                .args(
                    ["eventry", "eventryd", "test-support"].map(|name| format!("--package={name}")),
                )
                .arg("--target-dir")
                .arg(&builds);
            output_of(&mut clean)?;
        }
        Ok(Some(builds))
    }

    /// Package with the modules of a group.
    pub(super) fn package(&self, group: Group) -> &'static str {
        match group {
            Group::Daemon if self.has_daemon => layout::DAEMON_PACKAGE,
            Group::Daemon | Group::Loop => layout::LIBRARY_PACKAGE,
        }
    }

    /// Folder of a module in this checkout.
    pub(super) fn folder(&self, module: &Module) -> Option<&'static str> {
        let mut folders = module.folders.iter().copied();
        folders.find(|folder| self.root.join(folder).is_dir())
    }

    /// Arguments of cargo that select the tests which take seconds, for the mutants of a group with these names.
    pub(super) fn fast_tests(&self, group: Group, mutants: &[String]) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |argument: &str| arguments.push(argument.to_owned());
        if group == Group::Loop {
            layout::BARE.iter().copied().for_each(&mut add);
        } else if self.has_daemon {
            // cargo-mutants selects the package of the library itself.
            add("--package=eventryd");
        }
        add("--lib");
        if group == Group::Loop || self.has_daemon {
            let programs = quick_programs(group, mutants);
            programs
                .iter()
                .for_each(|name| add(&format!("--test={name}")));
        } else {
            [
                "--test=frame_properties",
                "--test=golden_traces",
                "--test=bad_input",
            ]
            .into_iter()
            .for_each(add);
        }
        arguments
    }
}

/// Test programs that take seconds, of the modules of these mutants.
fn quick_programs(group: Group, mutants: &[String]) -> BTreeSet<&'static str> {
    let of_mutant = |name: &String| match module_of(file_of(name)) {
        Some(module) => module.quick,
        None => group.quick(),
    };
    mutants.iter().flat_map(of_mutant).copied().collect()
}

/// Source file in the name of a mutant.
pub(super) fn file_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(file, _)| file)
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
        let mut command = self.command();
        if let Some(builds) = self.checkout.shared_builds()? {
            command.env("CARGO_TARGET_DIR", builds);
        }
        let status = command
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

/// Pattern of the files in a folder. A module that contains another one has no other folder.
pub(super) fn files_in(folder: &str) -> String {
    match inner_folders(folder).next() {
        Some(_) => format!("{folder}/*"),
        None => format!("{folder}/**"),
    }
}

/// Removes a folder that may be missing.
fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_a_mutant_precedes_its_line() {
        assert_eq!(file_of("src/a.rs:1:2: replace f::<T>"), "src/a.rs");
    }

    #[test]
    fn fast_tests_are_those_of_the_modules() {
        let tests = |mutants: &[&str]| {
            let mutants: Vec<String> = mutants.iter().map(|name| (*name).to_owned()).collect();
            Checkout::own().fast_tests(Group::Daemon, &mutants)
        };
        assert_eq!(
            tests(&[
                "eventryd/src/net/tls/key.rs:1:2: x",
                "eventryd/src/auth/glob.rs:1:2: x",
                "eventryd/src/auth/file.rs:1:2: x"
            ]),
            [
                "--package=eventryd",
                "--lib",
                "--test=auth",
                "--test=network"
            ]
        );
        assert_eq!(
            tests(&["eventryd/src/driver/mod.rs:1:2: x"]),
            ["--package=eventryd", "--lib", "--test=process"]
        );
    }

    #[test]
    fn files_in_a_module_leave_out_those_of_a_module_inside() {
        assert_eq!(files_in("eventryd/src/net"), "eventryd/src/net/*");
        assert_eq!(files_in("eventryd/src/net/tls"), "eventryd/src/net/tls/**");
        assert_eq!(files_in("eventryd/src"), "eventryd/src/**");
    }
}
