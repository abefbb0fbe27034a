//! Changes of the code that break the claims of `docs/event-api.md`, and the tests that must notice.

mod entry;
mod test;

use crate::defects::{Defects, PlantedBuild, PlantedTree, SWITCH};
use crate::output::print_line;
use crate::process::run;
use crate::tree::{self, Files};
use crate::{layout, process};
use anyhow::{Context, Result, bail};
use entry::{Entry, Kind};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use test::Test;

/// Tests that a broken rule (claim) makes a test fail, for each rule of docs/event-api.md
///
/// verification/claims.toml has an entry for each rule: a change of the code that breaks the rule, and the test that
/// must fail. The change is a replaced text, a defect of verification/defects.toml, or a mutant of the run that
/// docs/mutants.md records; the entry of a rule that no change can break gives the reason. Changes are applied to a
/// copy of the tree, target/claims/tree, one at a time. Mutants are not tested again.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run no test; only check that the entries are complete, and that their changes and defects still exist
    #[arg(long)]
    check: bool,
    /// Rules to break, such as EV-506 [default: all]
    #[arg(conflicts_with = "check", value_name = "CLAIM")]
    claims: Vec<String>,
}

/// Limit of a test, which is not built meanwhile. The tests themselves give up after half a minute.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let files = tree::read(&layout::root())?;
    let defects = Defects::parse(tree::text(&files, layout::DEFECTS)?)?;
    let entries = entry::parse(tree::text(&files, layout::CLAIMS)?)?;
    let faults: Vec<String> = entries
        .iter()
        .flat_map(|entry| entry.faults(&files, &defects))
        .collect();
    if !faults.is_empty() {
        bail!("{}:\n    {}", layout::CLAIMS, faults.join("\n    "));
    }
    if arguments.check {
        print_line(format_args!("claims: {} entries apply", entries.len()))?;
        return Ok(());
    }
    for claim in &arguments.claims {
        if !entries.iter().any(|entry| entry.claim == *claim) {
            bail!("{} has no entry {claim}", layout::CLAIMS);
        }
    }
    let mut breaker = Breaker {
        files,
        defects,
        planted: None,
    };
    let mut missed = Vec::new();
    let mut tried = 0;
    for entry in entries {
        if !arguments.claims.is_empty() && !arguments.claims.contains(&entry.claim) {
            continue;
        }
        tried += 1;
        match breaker.try_entry(&entry) {
            Ok(seen) => print_line(format_args!("{} {seen}", entry.claim))?,
            Err(error) => {
                print_line(format_args!("{} NOT BROKEN: {error:#}", entry.claim))?;
                missed.push(entry.claim);
            }
        }
    }
    if !missed.is_empty() {
        bail!("not shown to break: {}", missed.join(", "));
    }
    print_line(format_args!(
        "claims: {tried} tried, each has a test that notices"
    ))?;
    Ok(())
}

/// Makes the changes.
struct Breaker {
    files: Files,
    defects: Defects,
    /// Copy with the defects, made for the first entry that needs it.
    planted: Option<PlantedTree>,
}

impl Breaker {
    /// Breaks one claim and returns what was seen.
    fn try_entry(&mut self, entry: &Entry) -> Result<String> {
        match &entry.kind {
            Kind::Change {
                change,
                check,
                compiler,
                ..
            } => {
                let mut files = self.files.clone();
                let replacement = [(&*change.find, change.replace.clone())];
                let changed = tree::change_file(tree::text(&files, &change.file)?, replacement)?;
                files.insert(change.file.clone(), changed.into_bytes());
                tree::write(&files, &copy())?;
                let test = Test::parse(check, &files)?;
                let seen = match build(&test)? {
                    Ok(program) => match compiler {
                        Some(_) => bail!("{check}: it compiles"),
                        None => outcome(&test, Command::new(program).current_dir(copy()))?,
                    },
                    Err(said) => match compiler {
                        Some(text) if said.contains(text) => "does not compile",
                        _ => bail!("{check}: the compiler reports\n{said}"),
                    },
                };
                Ok(format!("broken by a change: {check} {seen}"))
            }
            Kind::Defect {
                defect,
                check,
                model: Some(model),
            } => Ok(format!(
                "broken by {defect}: {check} fails as {model} (cargo xtask defects)"
            )),
            Kind::Defect {
                defect,
                check,
                model: None,
            } => {
                let planted = match &self.planted {
                    Some(planted) => planted,
                    None => {
                        let planted = PlantedTree::make(&self.defects, self.files.clone())?;
                        self.planted.insert(planted)
                    }
                };
                let test = Test::parse(check, &self.files)?;
                let programs = planted.build(&PlantedBuild {
                    name: "claims",
                    directory: "",
                    arguments: &test.arguments(),
                    environment: &[],
                    target: "target",
                })?;
                let program = test::only_program(programs)?;
                let seen = outcome(&test, planted.command(&program).env(SWITCH, defect))?;
                Ok(format!("broken by {defect}: {check} {seen}"))
            }
            Kind::Mutant { mutant, check } => Ok(format!(
                "broken by a recorded mutant: {check} fails with {mutant}"
            )),
            Kind::Reason { reason } => Ok(format!("cannot be broken: {reason}")),
        }
    }
}

fn copy() -> PathBuf {
    layout::output("claims").join("tree")
}

fn log(name: &str) -> PathBuf {
    layout::output("claims").join("logs").join(name)
}

/// The program of a test, built from the copy, or the output of the compiler.
fn build(test: &Test) -> Result<std::result::Result<PathBuf, String>> {
    if let Test::C { .. } = test {
        return build_c_program();
    }
    let build = process::Build {
        directory: copy(),
        subcommand: "test",
        arguments: &[&["--profile=mutants"], &*test.arguments()].concat(),
        environment: &[],
        target: layout::output("claims").join("build"),
    };
    let built = build.run(&log("build"))?;
    built
        .map(test::only_program)
        .map_or_else(|said| Ok(Err(said)), |program| Ok(Ok(program?)))
}

/// The C conformance program on a library of the copy.
fn build_c_program() -> Result<std::result::Result<PathBuf, String>> {
    let target = layout::output("claims").join("build");
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "rustc",
            "--locked",
            "--profile=mutants",
            "--lib",
            "--crate-type=staticlib",
        ])
        .args(layout::BARE)
        .current_dir(copy())
        .env("CARGO_TARGET_DIR", &target);
    let ended = run(&mut cargo, &log("build"), None)?;
    if !ended.succeeded() {
        return Ok(Err(ended.output));
    }
    let packages = ["--cflags", "libvirt", "glib-2.0"];
    let flags = process::output_of(Command::new("pkg-config").args(packages))
        .context("the C tests need pkg-config, libvirt-dev and libglib2.0-dev")?;
    let program = layout::output("claims").join("conformance");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=gnu11", "-O1", "-pthread", "-Iinclude", "-o"])
        .arg(&program)
        .args(c_sources(&copy().join(layout::C_TESTS))?)
        .args(flags.split_whitespace())
        .arg(target.join("mutants/libeventry.a"))
        .args(["-lvirt", "-lglib-2.0", "-lm", "-ldl"])
        .current_dir(copy());
    let ended = run(&mut compiler, &log("cc"), None)?;
    Ok(if ended.succeeded() {
        Ok(program)
    } else {
        Err(ended.output)
    })
}

fn c_sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// Runs a test that must fail, and returns how it failed.
fn outcome(test: &Test, program: &mut Command) -> Result<&'static str> {
    let ended = run(program.args(test.selection()), &log("test"), Some(LIMIT))?;
    if test.is_of_libtest() && !ended.output.lines().any(|line| line == "running 1 test") {
        bail!("there is no test {test}");
    }
    if ended.succeeded() {
        bail!("{test} does not notice");
    }
    Ok(if ended.status.is_some() {
        "fails"
    } else {
        "hangs"
    })
}
