//! The engines that look for the defects.

use super::daemon::DaemonTests;
use super::list::{Check, Defect, Defects};
use super::matrix::{Cell, Engine, Findings};
use super::plant::{PlantedBuild, PlantedTree, SWITCH, log};
use crate::layout;
use crate::process::{Ended, Program, output_of, run};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Tests of the table's engines: the engine, and its tests in the order in which they are asked.
const TABLE: &[(Engine, &[&str])] = &[
    (
        Engine::Search,
        &[
            "small_searches_find_nothing",
            "search_over_two_entries_finds_nothing",
        ],
    ),
    (Engine::Sequences, &["first_sequences_find_nothing"]),
    (Engine::Bytes, &["random_bytes_find_nothing"]),
];

/// What the message of a test of the table's engines says before the rule.
const BROKEN: &str = "broken rule: ";

/// Programs of the table's engines and of the sleep, as the stage `properties` builds its own.
const VERIFICATION: &PlantedBuild = &PlantedBuild {
    name: "verification",
    directory: layout::VERIFICATION,
    arguments: &["--release", "--test=engines", "--test=sleep"],
    environment: &[],
    target: "verification/target",
};

/// Tests of the loop, as the stage `test` builds them.
const EVENT_LOOP: &PlantedBuild = &PlantedBuild {
    name: "event_loop",
    directory: "",
    arguments: &[
        "--package=eventry",
        "--no-default-features",
        "--test=event_loop",
    ],
    environment: &[],
    target: "target",
};

/// Programs of the loom models, as the stage `loom` builds them.
fn loom<'a>(directory: &'a str, arguments: &'a [&'a str]) -> PlantedBuild<'a> {
    PlantedBuild {
        name: "loom",
        directory,
        arguments,
        environment: layout::LOOM_ENVIRONMENT,
        target: "target/loom",
    }
}

/// Test of the sleep that is quick enough to be run for each defect.
const FIRST_SLEEPS: &str = "the_first_sequences_are_right";

/// A model with a floor of so many executions takes too long to be run for each defect.
const MANY_EXECUTIONS: usize = 10_000;

/// Exit status of a model that has fewer executions than its floor, which is no sign of a defect.
const VACUOUS: i32 = 3;

/// Limit of a program without a defect, and of those that never hang with one.
const LIMIT: Duration = Duration::from_secs(600);

/// Tests that the tool runs by name, each with its file.
pub(super) fn tests() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_the_table = TABLE.iter().flat_map(|(_, tests)| *tests);
    let of_the_table = of_the_table.map(|test| (layout::ENGINES, *test));
    of_the_table.chain([(layout::SLEEP, FIRST_SLEEPS)])
}

/// The programs of all engines, built from the copy with the defects.
pub(super) struct Engines {
    tree: PlantedTree,
    table: PathBuf,
    sleep: PathBuf,
    event_loop: PathBuf,
    models: Vec<Model>,
    daemon: DaemonTests,
    /// Limit of the tests of the sleep and of the loop. Longer means that they hang, which is how some notice.
    limit: Duration,
}

/// A loom model and the program that explores it.
struct Model {
    name: String,
    program: PathBuf,
}

impl Engines {
    /// Builds the programs and measures how long they take without a defect.
    pub(super) fn build(tree: PlantedTree, defects: &Defects) -> Result<Engines> {
        // At the same time: each ends with programs that keep one processor busy.
        let (verification, workspace, loom) = thread::scope(|scope| {
            let verification = scope.spawn(|| tree.build(VERIFICATION));
            // One after the other, as both use the same target directory.
            let workspace = scope.spawn(|| {
                let event_loop = tree.build(EVENT_LOOP)?;
                anyhow::Ok((event_loop, DaemonTests::build(&tree, defects)?))
            });
            let loom = layout::LOOM_PROGRAMS
                .iter()
                .map(|(directory, arguments)| tree.build(&loom(directory, arguments)))
                .collect::<Result<Vec<_>>>();
            let verification = verification.join().expect("no thread panics");
            let workspace = workspace.join().expect("no thread panics");
            (verification, workspace, loom)
        });
        let (verification, (event_loop, daemon)) = (verification?, workspace?);
        let mut models = Vec::new();
        for program in loom?.iter().flatten() {
            models.extend(small_models(program)?);
        }
        if models.is_empty() {
            bail!("there are no loom models");
        }
        let mut engines = Engines {
            table: named("engines", &verification)?,
            sleep: named("sleep", &verification)?,
            event_loop: named("event_loop", &event_loop)?,
            models,
            daemon,
            limit: LIMIT,
            tree,
        };
        let begun = Instant::now();
        engines.expect_silence(&engines.sleep, &["--exact", FIRST_SLEEPS])?;
        engines.expect_silence(&engines.event_loop, &[])?;
        engines.limit = Duration::from_secs(10 + 6 * begun.elapsed().as_secs());
        Ok(engines)
    }

    /// Fails unless every engine is silent without a defect.
    pub(super) fn run_without_defect(&self) -> Result<()> {
        self.expect_silence(&self.table, &[])?;
        // All sequences, and not only the first: elsewhere they run without the changes of the setup.
        self.expect_silence(&self.sleep, &[])?;
        for model in &self.models {
            self.expect_silence(&model.program, &["--model", &model.name])?;
        }
        self.daemon.run_without_defect(&self.tree)
    }

    fn expect_silence(&self, program: &Path, arguments: &[&str]) -> Result<()> {
        let log = log("without");
        let mut command = self.tree.command(program);
        command.args(arguments);
        let ended = run(&mut command, &log, Some(LIMIT))?;
        if !ended.succeeded() {
            bail!("{command:?} fails without a defect:\n{}", ended.output);
        }
        Ok(())
    }

    /// Runs every engine with one defect: those of the library, or the named tests of the daemon.
    pub(super) fn try_defect(&self, defect: &Defect) -> Result<Findings> {
        let mut findings = Findings::default();
        if defect.is_of_the_daemon() {
            self.daemon.ask(&self.tree, defect, &mut findings)?;
            return Ok(findings);
        }
        self.ask_the_table(defect, &mut findings)?;
        self.ask_the_models(defect, &mut findings)?;
        self.ask_the_loop(defect, &mut findings)?;
        Ok(findings)
    }

    fn ask_the_table(&self, defect: &Defect, findings: &mut Findings) -> Result<()> {
        if !defect.is_of_the_table() {
            let ended = self.try_test(defect, &self.table, TABLE[0].1[0], LIMIT)?;
            if !ended.succeeded() {
                let fault = "the search notices, though it is not a defect of the table";
                findings.fault(defect, fault);
            }
            return Ok(());
        }
        for (engine, tests) in TABLE {
            for test in *tests {
                let ended = self.try_test(defect, &self.table, test, LIMIT)?;
                if ended.succeeded() {
                    continue;
                }
                let rule = ended.output.split_once(BROKEN);
                let rule = rule.and_then(|(_, rest)| rest.split_once(':'));
                let rule = rule.map_or("?", |(rule, _)| rule);
                findings.add(*engine, Cell::Found(rule.to_owned()));
                break;
            }
        }
        for check in &defect.checks {
            let (engine, rule) = match check {
                Check::Search { rule } => (Engine::Search, rule),
                Check::Sequences { rule } => (Engine::Sequences, rule),
                Check::Loom { .. } | Check::EventLoop { .. } | Check::Daemon { .. } => continue,
            };
            if !findings.name(engine, rule) {
                findings.fault(defect, &format!("{} does not find {rule}", engine.title()));
            }
        }
        Ok(())
    }

    fn ask_the_models(&self, defect: &Defect, findings: &mut Findings) -> Result<()> {
        let mut missed: Vec<&Check> = defect.checks.iter().collect();
        missed.retain(|check| matches!(check, Check::Loom { .. }));
        for model in &self.models {
            let arguments = ["--model", &model.name];
            let ended = self.try_program(defect, &model.program, &arguments, LIMIT)?;
            let is_vacuous = ended.status.and_then(|status| status.code()) == Some(VACUOUS);
            if ended.succeeded() || is_vacuous {
                continue;
            }
            findings.add(Engine::Loom, Cell::Found(model.name.clone()));
            missed.retain(|check| match check {
                Check::Loom { model: named, says } if *named == model.name => {
                    let is_right = ended.output.contains(says);
                    if is_right {
                        findings.name(Engine::Loom, named);
                    }
                    !is_right
                }
                _ => true,
            });
        }
        for check in missed {
            findings.fault(defect, &format!("not caught by {check:?}"));
        }
        Ok(())
    }

    fn ask_the_loop(&self, defect: &Defect, findings: &mut Findings) -> Result<()> {
        let ended = self.try_test(defect, &self.sleep, FIRST_SLEEPS, self.limit)?;
        if !ended.succeeded() {
            findings.add(Engine::Sleep, Cell::Noticed);
        }
        if defect.depends_on_schedule {
            findings.add(Engine::EventLoop, Cell::ByChance);
        } else {
            let ended = self.try_program(defect, &self.event_loop, &[], self.limit)?;
            if !ended.succeeded() {
                findings.add(Engine::EventLoop, Cell::Noticed);
            }
        }
        for check in &defect.checks {
            let Check::EventLoop { test } = check else {
                continue;
            };
            let ended = self.try_test(defect, &self.event_loop, test, self.limit)?;
            if ended.succeeded() {
                findings.fault(defect, &format!("not caught by {test}"));
            } else {
                findings.name(Engine::EventLoop, "noticed");
            }
        }
        Ok(())
    }

    /// Runs one test of a program. Fails if the program has no such test.
    fn try_test(
        &self,
        defect: &Defect,
        program: &Path,
        test: &str,
        limit: Duration,
    ) -> Result<Ended> {
        let ended = self.try_program(defect, program, &["--exact", test], limit)?;
        if !ended.output.lines().any(|line| line == "running 1 test") {
            bail!("there is no test {test}");
        }
        Ok(ended)
    }

    fn try_program(
        &self,
        defect: &Defect,
        program: &Path,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Ended> {
        let mut command = self.tree.command(program);
        command.args(arguments).env(SWITCH, &defect.name);
        run(&mut command, &log(&defect.name), Some(limit))
    }
}

fn named(name: &str, programs: &[Program]) -> Result<PathBuf> {
    let program = programs.iter().find(|program| program.name == name);
    let program = program.with_context(|| format!("cargo built no program {name}"))?;
    Ok(program.path.clone())
}

/// Models that are quick enough to be run for each defect.
fn small_models(program: &Program) -> Result<Vec<Model>> {
    let listed = output_of(Command::new(&program.path).arg("--list"))?;
    let mut models = Vec::new();
    for line in listed.lines() {
        let model = line.split_once(' ');
        let model = model.and_then(|(name, floor)| Some((name, floor.parse::<usize>().ok()?)));
        let (name, floor) = model.with_context(|| format!("{line:?} is not a model"))?;
        if floor < MANY_EXECUTIONS {
            models.push(Model {
                name: name.to_owned(),
                program: program.path.clone(),
            });
        }
    }
    Ok(models)
}
