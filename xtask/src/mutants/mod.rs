//! Mutation testing: changes of the code in one place at a time, which the checks must notice.

mod claims;
mod modules;
mod outcomes;
mod record;
mod sample;
mod second_look;
mod tool;

use crate::layout;
use crate::output::print_line;
use crate::process::output_of;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use modules::{GROUPS, Group, MODULES, Module};
use outcomes::{Outcome, judge};
use record::Record;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tool::{Checkout, Selection, files_in, work};

/// Tests mutants: versions of the code with a change in one place, which a test must detect
///
/// A mutant is first tested with tests that take seconds. If they pass, the slower checks of its module are run. If they
/// pass too, the mutant is a survivor. `changed`, `all` and `again` fail if a survivor is not listed in docs/mutants.md,
/// or if the share of detected mutants of a module is below the minimum in xtask/src/mutants/modules.rs. All commands but
/// `claims` install cargo-mutants 27.1.0 if it is missing.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Tests mutants of the code that changed since the commit in docs/mutants.md
    ///
    /// At most EVENTRY_MUTANTS_MAX mutants are tested (default: 5 of the library and 4 of the daemon). If there are more,
    /// every n-th is tested, so the choice is the same in each run.
    Changed,
    /// Tests all mutants of the given modules, or of all modules; takes hours
    All {
        /// Names of modules, such as table, registry, wire [default: all]
        #[arg(value_name = "MODULE")]
        modules: Vec<String>,
    },
    /// Runs the slower checks on the survivors of earlier runs
    Again {
        /// Files outcomes.json of earlier runs
        #[arg(required = true)]
        outcomes: Vec<PathBuf>,
    },
    /// Prints, for each rule (claim) of docs/event-api.md, a mutant for which one of its tests fails
    Claims {
        /// Files outcomes.json of earlier runs
        #[arg(required = true)]
        outcomes: Vec<PathBuf>,
    },
    Sample(sample::Arguments),
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    match &arguments.task {
        Task::Claims { outcomes } => print_claims(outcomes),
        Task::Again { outcomes } => {
            tool::install()?;
            finish(&mut read_all(outcomes)?, &Record::read()?)
        }
        Task::Changed => {
            tool::install()?;
            changed()
        }
        Task::All { modules } => {
            let wanted = select(modules)?;
            tool::install()?;
            all(&wanted)
        }
        Task::Sample(arguments) => {
            tool::install()?;
            sample::run_task(arguments)
        }
    }
}

/// Modules with these names, or all if there are none.
fn select(names: &[String]) -> Result<Vec<&'static Module>> {
    let is_known = |name: &&String| MODULES.iter().any(|module| module.is_called(name));
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        bail!("no module {unknown}; there are {}", modules::names());
    }
    let wanted = MODULES
        .iter()
        .filter(|module| names.is_empty() || names.iter().any(|name| module.is_called(name)));
    Ok(wanted.collect())
}

/// Patterns of the files of the modules of one group.
fn files(checkout: &Checkout, group: Group, modules: &[&Module]) -> Vec<String> {
    let of_the_group = modules.iter().filter(|module| module.group == group);
    let folders = of_the_group.filter_map(|module| checkout.folder(module));
    folders.map(files_in).collect()
}

fn changed() -> Result<()> {
    let record = Record::read()?;
    let max: Option<usize> = match env::var("EVENTRY_MUTANTS_MAX") {
        Ok(max) => Some(max.parse().ok().filter(|max| *max > 0).with_context(|| {
            format!("EVENTRY_MUTANTS_MAX is {max:?} and not a positive number")
        })?),
        Err(_) => None,
    };
    let only = options_for_changes(&record.commit)?;
    let checkout = Checkout::own();
    let all: Vec<&Module> = MODULES.iter().collect();
    let mut found = Vec::new();
    for group in GROUPS {
        let selection = Selection {
            checkout: &checkout,
            group,
            files: files(&checkout, group, &all),
        };
        let listed = selection.list(&only)?;
        let count = listed.len();
        let parts = parts(count, max.unwrap_or(group.max()));
        let chosen = match parts {
            0 | 1 => String::new(),
            _ => format!(", the first of {parts} parts"),
        };
        let names = all.iter().filter(|module| module.group == group);
        let names: Vec<&str> = names.map(|module| module.name).collect();
        print_line(format_args!(
            "mutants: {count} in {}{chosen}",
            names.join(" ")
        ))?;
        if count == 0 {
            continue;
        }
        let mut only = only.clone();
        only.push(format!("--shard=0/{parts}"));
        only.push("--sharding=round-robin".to_owned());
        let tested: Vec<String> = listed.into_iter().step_by(parts).collect();
        let tests = checkout.fast_tests(group, &tested);
        found.extend(selection.test(group.name(), &only, &tests)?);
    }
    finish(&mut found, &record)
}

/// Number of parts of which each has at most `max` of `count` mutants.
fn parts(count: usize, max: usize) -> usize {
    count.div_ceil(max)
}

/// Options of cargo-mutants that select the mutants of what has changed since a commit.
fn options_for_changes(commit: &str) -> Result<Vec<String>> {
    let git = || {
        let mut git = Command::new("git");
        git.current_dir(layout::root());
        git
    };
    let short = &commit[..7];
    let known = git().args(["cat-file", "-e", commit]).output();
    if !known.context("cannot run git")?.status.success() {
        print_line(format_args!(
            "mutants: of everything, as this clone does not go back to {short}"
        ))?;
        return Ok(Vec::new());
    }
    print_line(format_args!("mutants: of what has changed since {short}"))?;
    let mut diff = git();
    diff.args(["diff", "--find-renames", commit, "--"]);
    let diff = output_of(diff.args(["src", "eventryd/src"]))?;
    fs::create_dir_all(work())?;
    let path = work().join("changed.diff");
    fs::write(&path, diff)?;
    Ok(vec![format!("--in-diff={}", path.display())])
}

fn all(modules: &[&Module]) -> Result<()> {
    let record = Record::read()?;
    let checkout = Checkout::own();
    let mut found = Vec::new();
    for module in modules {
        let selection = Selection {
            checkout: &checkout,
            group: module.group,
            files: files(&checkout, module.group, &[module]),
        };
        if selection.files.is_empty() {
            continue;
        }
        let tests = checkout.fast_tests(module.group, &selection.list(&[])?);
        found.extend(selection.test(module.name, &[], &tests)?);
    }
    finish(&mut found, &record)
}

/// Gives the survivors to the slower checks, prints the results and judges them.
fn finish(found: &mut [Outcome], record: &Record) -> Result<()> {
    second_look::run_task(found, &record.survivors)?;
    let judgement = judge(found, &record.survivors)?;
    judgement.lines.iter().try_for_each(print_line)?;
    if !judgement.faults.is_empty() {
        bail!("{}", judgement.faults.join("; "));
    }
    Ok(())
}

/// Reads the outcomes of several runs.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Outcome>> {
    let mut found = Vec::new();
    for path in paths {
        found.extend(outcomes::read(path)?);
    }
    Ok(found)
}

fn print_claims(paths: &[PathBuf]) -> Result<()> {
    let mut failures = claims::Failures::new();
    for outcome in read_all(paths)? {
        if outcome.summary == outcomes::Summary::CaughtMutant {
            let log = read_lossy(&outcome.log)?;
            claims::add_failures(&mut failures, &outcome, &log)?;
        }
    }
    let document = read_lossy(&layout::root().join(layout::CLAIM_TABLE))?;
    let rows = claims::table(&document, &failures)?;
    rows.iter().try_for_each(print_line)?;
    Ok(())
}

fn read_lossy(path: &Path) -> Result<String> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_at_most_so_many() {
        assert_eq!(parts(0, 5), 0);
        assert_eq!(parts(5, 5), 1);
        assert_eq!(parts(6, 5), 2);
        assert_eq!(parts(101, 5), 21);
    }

    #[test]
    fn select_keeps_the_order_of_the_list() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let selected = select(&wanted).map_err(|error| error.to_string());
            selected.map(|found| found.iter().map(|module| module.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["wire", "core"]).unwrap(), ["table", "wire"]);
        assert_eq!(names(&[]).unwrap().len(), MODULES.len());
        let error = names(&["core", "wires"]).unwrap_err();
        assert!(error.starts_with("no module wires; there are table, "));
    }
}
