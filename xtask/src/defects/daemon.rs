//! The tests of the daemon that must notice its defects.

use super::list::{Defect, Defects};
use super::matrix::{Cell, Engine, Findings};
use super::plant::{PlantedBuild, PlantedTree, SWITCH, log};
use crate::layout;
use crate::process::{Program, run};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Variable that names the daemon which the tests start.
const PROGRAM: &str = "EVENTRYD";

/// Limit of the tests of a program without a defect.
const LIMIT: Duration = Duration::from_secs(300);

/// Limit of one test with a defect. Longer means that it hangs, which is how some notice.
const LIMIT_WITH_DEFECT: Duration = Duration::from_secs(12);

/// Test programs of the daemon's package, and the daemon that they start.
pub(super) struct DaemonTests {
    programs: Vec<Program>,
    daemon: PathBuf,
    /// Named tests of each program.
    tests: BTreeMap<String, BTreeSet<String>>,
}

impl DaemonTests {
    /// Builds the programs that the defects name.
    pub(super) fn build(tree: &PlantedTree, defects: &Defects) -> Result<DaemonTests> {
        let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for test in defects.all.iter().flat_map(Defect::tests_of_the_daemon) {
            let (program, test) = split(test)?;
            let of_program = tests.entry(program.to_owned()).or_default();
            of_program.insert(test.to_owned());
        }
        let selected: Vec<String> = tests.keys().map(|name| format!("--test={name}")).collect();
        let package = format!("--package={}", layout::DAEMON_PACKAGE);
        let mut arguments = vec![&*package];
        arguments.extend(selected.iter().map(|name| &**name));
        let programs = tree.build(&PlantedBuild {
            name: "daemon",
            directory: "",
            arguments: &arguments,
            environment: &[],
            target: "target",
        })?;
        // A later build of the workspace replaces the program in the target directory.
        let built = layout::target().join("debug").join(layout::DAEMON_PACKAGE);
        let daemon = layout::output("defects").join(layout::DAEMON_PACKAGE);
        fs::copy(&built, &daemon).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(DaemonTests {
            programs,
            daemon,
            tests,
        })
    }

    /// Fails unless the named tests pass without a defect.
    pub(super) fn run_without_defect(&self, tree: &PlantedTree) -> Result<()> {
        for (program, tests) in &self.tests {
            let mut command = tree.command(self.program(program)?);
            command.arg("--exact").args(tests);
            command.env(PROGRAM, &self.daemon);
            let ended = run(&mut command, &log("without-daemon"), Some(LIMIT))?;
            let expected = format!("{} passed", tests.len());
            if !ended.succeeded() || !ended.output.contains(&expected) {
                bail!("{command:?} fails without a defect:\n{}", ended.output);
            }
        }
        Ok(())
    }

    /// Runs the tests that the defect names.
    pub(super) fn ask(
        &self,
        tree: &PlantedTree,
        defect: &Defect,
        findings: &mut Findings,
    ) -> Result<()> {
        for test in defect.tests_of_the_daemon() {
            let (program, path) = split(test)?;
            let mut command = tree.command(self.program(program)?);
            command.args(["--exact", path]);
            command.env(PROGRAM, &self.daemon).env(SWITCH, &defect.name);
            let log = log(&format!("{}-{program}", defect.name));
            if run(&mut command, &log, Some(LIMIT_WITH_DEFECT))?.succeeded() {
                findings.fault(defect, &format!("not caught by {test}"));
            } else {
                let found = format!("`{test}`");
                findings.add(Engine::Daemon, Cell::Found(found.clone()));
                findings.name(Engine::Daemon, &found);
            }
        }
        Ok(())
    }

    fn program(&self, name: &str) -> Result<&std::path::Path> {
        let program = self.programs.iter().find(|program| program.name == name);
        let program = program.with_context(|| format!("cargo built no program {name}"))?;
        Ok(&program.path)
    }
}

/// The program of a test, and the path of the test in it.
fn split(test: &str) -> Result<(&str, &str)> {
    let parts = test.split_once("::");
    parts.with_context(|| format!("{test:?} names no program and test"))
}
