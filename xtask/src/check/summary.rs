//! The summary of a run.

use super::INCOMPLETE;
use super::figures::{Tests, tests_not_run};
use super::stages::Stage;
use std::process::ExitStatus;
use std::time::Duration;

/// Number of lines of the log that are shown after a failure.
const SHOWN_LINES: usize = 80;

/// End of a stage.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Succeeded,
    Failed {
        status: ExitStatus,
    },
    /// The stage did not end within its limit.
    Late {
        seconds: u64,
    },
    /// There is no nightly toolchain.
    NotRun,
}

/// Results of the stages so far.
#[derive(Debug)]
pub(super) struct Summary {
    /// Name of the nightly toolchain.
    nightly: String,
    tests: Tests,
    failed_stages: usize,
    not_run: Vec<&'static str>,
    /// Tests that the machine does not allow, with their stage and the reason.
    tests_not_run: Vec<String>,
}

impl Summary {
    pub(super) fn new(nightly: &str) -> Summary {
        Summary {
            nightly: nightly.to_owned(),
            tests: Tests::default(),
            failed_stages: 0,
            not_run: Vec::new(),
            tests_not_run: Vec::new(),
        }
    }

    /// Adds a stage and returns the lines to print about it.
    pub(super) fn add(
        &mut self,
        stage: &Stage,
        outcome: Outcome,
        took: Duration,
        log: &str,
    ) -> Vec<String> {
        let name = stage.name;
        if let Outcome::NotRun = outcome {
            self.not_run.push(name);
            let nightly = &self.nightly;
            return vec![format!(
                "{name:<12} NOT RUN  there is no toolchain {nightly}"
            )];
        }
        let mut faults = Vec::new();
        match outcome {
            Outcome::Succeeded | Outcome::NotRun => {}
            Outcome::Failed { status } => faults.push(format!("{name} ended with {status}")),
            Outcome::Late { seconds } => {
                faults.push(format!("{name} did not end within {seconds} s"));
            }
        }
        let tests = Tests::count(log).unwrap_or_else(|error| {
            faults.push(format!("{name}: {error:#}"));
            Tests::default()
        });
        match tests_not_run(log) {
            Ok(found) => {
                let named = found.iter().map(|test| format!("{name}: {test}"));
                self.tests_not_run.extend(named);
            }
            Err(error) => faults.push(format!("{name}: {error:#}")),
        }
        let found = stage.figures.find(log);
        let mut figures = match found {
            Ok(figures) => figures,
            // A stage that failed may lack its figures.
            Err(_) if !faults.is_empty() => Vec::new(),
            Err(error) => {
                faults.push(format!("{name}: {error:#}"));
                Vec::new()
            }
        };
        let mut lines = Vec::new();
        let is_failed = !faults.is_empty();
        if is_failed {
            self.failed_stages += 1;
            // A stage can fail outside its tests.
            self.tests.failed += tests.failed.max(1);
            self.tests.passed += tests.passed;
            lines.push(format!("---- the end of target/run-logs/{name}.log:"));
            let last = log.lines().count().saturating_sub(SHOWN_LINES);
            lines.extend(log.lines().skip(last).map(str::to_owned));
            lines.extend(faults);
        } else {
            // A stage without tests counts as one.
            self.tests.passed += tests.passed.max(1);
            if tests.passed > 0 {
                figures.insert(0, format!("{} tests", tests.passed));
            }
        }
        let result = if is_failed { "FAIL" } else { "PASS" };
        let line = format!(
            "{name:<12} {result} {:4} s  {}",
            took.as_secs(),
            figures.join("; ")
        );
        lines.push(line);
        lines
    }

    /// Lines at the end of a run of so many stages. The line of the tests stands alone for scripts. Tests that the
    /// machine does not allow are named, and are no failure.
    pub(super) fn closing_lines(&self, stages: usize, took: Duration) -> Vec<String> {
        let not_run = self.tests_not_run.iter();
        let mut lines: Vec<String> = not_run.map(|test| format!("not run: {test}")).collect();
        lines.extend([
            format!(
                "{stages} {} in {} s, {} failed",
                if stages == 1 { "stage" } else { "stages" },
                took.as_secs(),
                self.failed_stages
            ),
            format!("{} passed, {} failed", self.tests.passed, self.tests.failed),
        ]);
        if self.exit_status() == INCOMPLETE {
            lines.push(format!(
                "INCOMPLETE: without the toolchain {}, not run: {}",
                self.nightly,
                self.not_run.join(" ")
            ));
        }
        lines
    }

    /// 0 if all passed, 1 if something failed, or else 3 if something was not run.
    pub(super) fn exit_status(&self) -> u8 {
        match (self.failed_stages, self.not_run.len()) {
            (0, 0) => 0,
            (0, _) => INCOMPLETE,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stages::STAGES;
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn stage(name: &str) -> &'static Stage {
        STAGES.iter().find(|stage| stage.name == name).unwrap()
    }

    fn run(stages: &[(&str, Outcome, &str)]) -> (Vec<String>, Vec<String>, u8) {
        let mut summary = Summary::new("nightly-x");
        let mut lines = Vec::new();
        for (name, outcome, log) in stages {
            let took = Duration::from_secs(7);
            lines.extend(summary.add(stage(name), *outcome, took, log));
        }
        let closing = summary.closing_lines(stages.len(), Duration::from_secs(9));
        (lines, closing, summary.exit_status())
    }

    const PASSED: &str = "test result: ok. 3 passed; 0 failed; 0 ignored\n";

    #[test]
    fn passed_stages_count_their_tests_or_one() {
        let log = format!("{PASSED}strict removal: 9 cycles\n");
        let (lines, closing, status) = run(&[
            ("fmt", Outcome::Succeeded, ""),
            ("strict", Outcome::Succeeded, &log),
        ]);
        assert_eq!(
            lines,
            [
                "fmt          PASS    7 s  ",
                "strict       PASS    7 s  3 tests; 9 cycles"
            ]
        );
        assert_eq!(closing, ["2 stages in 9 s, 0 failed", "4 passed, 0 failed"]);
        assert_eq!(status, 0);
    }

    #[test]
    fn failed_stages_show_the_end_of_the_log() {
        let log: String = (0..200).map(|line| format!("line {line}\n")).collect();
        let status = ExitStatus::from_raw(101 << 8);
        let (lines, closing, status) = run(&[
            ("docs", Outcome::Failed { status }, &log),
            ("test", Outcome::Late { seconds: 900 }, PASSED),
            ("asan", Outcome::NotRun, ""),
        ]);
        assert_eq!(lines[0], "---- the end of target/run-logs/docs.log:");
        assert_eq!(lines[1], "line 120");
        assert_eq!(lines[81], "docs ended with exit status: 101");
        assert_eq!(lines[82], "docs         FAIL    7 s  ");
        assert!(lines.contains(&"test did not end within 900 s".to_owned()));
        assert_eq!(closing, ["3 stages in 9 s, 2 failed", "3 passed, 2 failed"]);
        assert_eq!(status, 1);
    }

    #[test]
    fn stages_that_are_not_run_make_a_run_incomplete() {
        let (lines, closing, status) = run(&[("fuzz", Outcome::NotRun, "")]);
        assert_eq!(
            lines,
            ["fuzz         NOT RUN  there is no toolchain nightly-x"]
        );
        assert_eq!(
            closing[2],
            "INCOMPLETE: without the toolchain nightly-x, not run: fuzz"
        );
        assert_eq!(status, 3);
    }

    #[test]
    fn tests_that_the_machine_does_not_allow_are_named() {
        let log = format!(
            "test a ... not run: a: no namespaces\nnot run: b: not root\nnot run: b: not root\n{PASSED}"
        );
        let (_, closing, status) = run(&[("test", Outcome::Succeeded, &log)]);
        assert_eq!(
            closing[..2],
            [
                "not run: test: a: no namespaces",
                "not run: test: b: not root"
            ]
        );
        assert_eq!(status, 0);
    }

    #[test]
    fn a_stage_without_its_models_fails() {
        let (lines, _, status) = run(&[("loom", Outcome::Succeeded, PASSED)]);
        assert!(lines.contains(&"loom: no model ran".to_owned()));
        assert_eq!(status, 1);
    }

    #[test]
    fn closing_line_of_one_stage_has_the_singular() {
        let closing = Summary::new("nightly").closing_lines(1, Duration::from_secs(9));
        assert_eq!(closing[0], "1 stage in 9 s, 0 failed");
    }
}
