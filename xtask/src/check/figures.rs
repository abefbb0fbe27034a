//! Figures of a stage: the part of its output that its line of the summary shows.

use anyhow::{Result, bail};
use regex::Regex;

/// A pattern for a line, and the figure that replaces it.
pub(super) type Replacement = (&'static str, &'static str);

/// Patterns for the figures in the output of a stage.
#[derive(Debug)]
pub(super) enum Figures {
    /// Lines that match a pattern. The figures of one list stay in the order of the output, the lists follow one
    /// another.
    Lines(&'static [&'static [Replacement]]),
    /// Number of the loom models and of their executions. A run without a model fails.
    Models,
}

impl Figures {
    pub(super) fn find(&self, log: &str) -> Result<Vec<String>> {
        match self {
            Figures::Lines(lists) => {
                let mut found = Vec::new();
                for list in *lists {
                    found.extend(matches(list, log)?);
                }
                Ok(found)
            }
            Figures::Models => models(log),
        }
    }
}

/// Figures of one list. A line gives a figure for each pattern that it matches.
fn matches(list: &[Replacement], log: &str) -> Result<Vec<String>> {
    let mut patterns = Vec::new();
    for (pattern, replacement) in list {
        patterns.push((Regex::new(pattern)?, replacement));
    }
    let mut found = Vec::new();
    for line in log.lines() {
        for (pattern, replacement) in &patterns {
            if pattern.is_match(line) {
                found.push(pattern.replace(line, **replacement).into_owned());
            }
        }
    }
    Ok(found)
}

fn models(log: &str) -> Result<Vec<String>> {
    let model = Regex::new(r"^.*: ([0-9]+) executions, preemption ")?;
    let executions = log.lines().filter_map(|line| model.captures(line));
    let executions = executions.map(|model| model[1].parse::<u64>());
    let executions: Vec<u64> = executions.collect::<std::result::Result<_, _>>()?;
    if executions.is_empty() {
        bail!("no model ran");
    }
    let sum: u64 = executions.iter().sum();
    Ok(vec![format!(
        "{} models, {sum} executions",
        executions.len()
    )])
}

/// Numbers of the tests in the output of test programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tests {
    pub(super) fn count(log: &str) -> Result<Tests> {
        let result = Regex::new(r"(?m)^test result: \S+ ([0-9]+) passed; ([0-9]+) failed")?;
        let mut tests = Tests::default();
        for found in result.captures_iter(log) {
            tests.passed += found[1].parse::<u64>()?;
            tests.failed += found[2].parse::<u64>()?;
        }
        Ok(tests)
    }
}

/// Tests that the machine does not allow, with the reason, as `test_support::not_run` reports them.
pub(super) fn tests_not_run(log: &str) -> Result<Vec<String>> {
    let report = Regex::new(r"(?m)\bnot run: ([a-z0-9_]+: .*)$")?;
    let mut found: Vec<String> = Vec::new();
    for test in report.captures_iter(log) {
        if !found.iter().any(|known| *known == test[1]) {
            found.push(test[1].to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::stages::STAGES;
    use super::*;

    fn found(stage: &str, log: &str) -> Vec<String> {
        let stage = STAGES.iter().find(|known| known.name == stage).unwrap();
        stage.figures.find(log).unwrap()
    }

    #[test]
    fn every_pattern_is_valid() {
        for stage in STAGES {
            if let Figures::Lines(_) = stage.figures {
                assert_eq!(found(stage.name, ""), [""; 0], "{}", stage.name);
            }
        }
    }

    #[test]
    fn figures_are_cut_out_of_lines() {
        assert_eq!(
            found(
                "fuzz",
                "fuzz target dn: 12 executions, 30 s of a processor\n"
            ),
            ["dn: 12 executions"]
        );
        assert_eq!(
            found("mutants", "mutants: wire 3 of 3 caught\nother\n"),
            ["wire 3 of 3 caught"]
        );
        assert_eq!(
            found(
                "spin",
                "spin: 3 defects caught\nsleep: 12 states\nsleep: 12 states stored\n"
            ),
            ["3 defects caught", "sleep: 12 states"]
        );
        assert_eq!(
            found("soak", "soak: settled after 3 s\nsoak: other\n"),
            ["settled after 3 s"]
        );
        assert_eq!(
            found("capi", "libvirt in Python: alive for 3 s\n"),
            ["Python alive for 3 s"]
        );
        assert_eq!(
            found("acceptance", "a 12 recorded sessions equal, 1 s\n"),
            ["12 recorded sessions equal"]
        );
    }

    #[test]
    fn lists_of_patterns_follow_one_another() {
        let log = "  1200 adds\nproperties: 9 cases of up to 8 moves, done\n";
        assert_eq!(
            found("properties", log),
            ["properties 9 cases of up to 8 moves", "adds 1200"]
        );
    }

    #[test]
    fn models_are_added_up_and_must_be_there() {
        let log = "L1 add: 20 executions, preemption 3\nL2 remove: 22 executions, preemption 2\n";
        assert_eq!(found("loom", log), ["2 models, 42 executions"]);
        let error = Figures::Models.find("ok\n").unwrap_err();
        assert_eq!(error.to_string(), "no model ran");
    }

    #[test]
    fn count_adds_up_the_test_programs() {
        let log = "test result: ok. 3 passed; 0 failed; 1 ignored\n\
            test result: FAILED. 4 passed; 2 failed; 0 ignored\n";
        let tests = Tests::count(log).unwrap();
        assert_eq!(
            tests,
            Tests {
                passed: 7,
                failed: 2
            }
        );
        assert_eq!(Tests::count("").unwrap(), Tests::default());
    }
}
