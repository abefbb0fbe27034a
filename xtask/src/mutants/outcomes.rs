//! The outcomes of a run of cargo-mutants, and what they amount to.

use super::modules::module_of;
use anyhow::{Context, Result};
use regex::Regex;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Fewer viable mutants are not held against the floor: one of a few is a large part of them.
const FEWEST_FOR_FLOOR: usize = 20;

/// Line and column in the name of a mutant.
static POSITION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r":\d+:\d+: ").expect("the pattern is valid"));

/// A mutant and its outcome.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Source file, relative to the root.
    pub(super) file: String,
    /// Name with line and column.
    pub(super) name: String,
    pub(super) summary: Summary,
    /// The change as a patch.
    pub(super) diff: PathBuf,
    /// Output of the tests.
    pub(super) log: PathBuf,
}

/// Result of the tests for one mutant.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum Summary {
    /// Of the unchanged code.
    Success,
    /// Of the unchanged code.
    Failure,
    CaughtMutant,
    MissedMutant,
    /// It does not compile.
    Unviable,
    /// The tests hang, which counts as caught.
    Timeout,
}

/// Content of `outcomes.json`.
#[derive(Deserialize)]
struct Report {
    outcomes: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    scenario: Scenario,
    summary: Summary,
    diff_path: Option<PathBuf>,
    log_path: PathBuf,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

/// A mutant of `outcomes.json` or `cargo mutants --list --json`.
#[derive(Deserialize)]
struct Mutant {
    name: String,
    file: String,
}

/// Reads `outcomes.json`. There is no such file after a run without a mutant.
pub(super) fn read(path: &Path) -> Result<Vec<Outcome>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).with_context(|| format!("cannot read {}", path.display()))
}

fn parse(text: &str, folder: &Path) -> Result<Vec<Outcome>> {
    let report: Report = serde_json::from_str(text)?;
    let mut outcomes = Vec::new();
    for entry in report.outcomes {
        let Scenario::Mutant(mutant) = entry.scenario else {
            continue;
        };
        let diff = entry
            .diff_path
            .with_context(|| format!("there is no patch of {}", mutant.name))?;
        outcomes.push(Outcome {
            file: mutant.file,
            name: mutant.name,
            summary: entry.summary,
            diff: folder.join(diff),
            log: folder.join(entry.log_path),
        });
    }
    Ok(outcomes)
}

/// Names of the mutants in the output of `cargo mutants --list --json`. A diff without a mutant is answered with a
/// remark instead.
pub(super) fn parse_list(text: &str) -> Result<Vec<String>> {
    if !text.starts_with('[') {
        return Ok(Vec::new());
    }
    let mutants: Vec<Mutant> = serde_json::from_str(text)?;
    Ok(mutants.into_iter().map(|mutant| mutant.name).collect())
}

impl Outcome {
    /// Name without line and column, which stays the same when lines above are added.
    pub(super) fn stable_name(&self) -> String {
        POSITION.replace(&self.name, ": ").into_owned()
    }

    pub(super) fn is_missed(&self) -> bool {
        self.summary == Summary::MissedMutant
    }
}

/// Numbers of mutants by their result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) caught: usize,
    pub(super) missed: usize,
    pub(super) timeouts: usize,
    pub(super) unviable: usize,
}

impl Tally {
    pub(super) fn add(&mut self, summary: Summary) {
        match summary {
            Summary::Success | Summary::Failure => {}
            Summary::CaughtMutant => self.caught += 1,
            Summary::MissedMutant => self.missed += 1,
            Summary::Timeout => self.timeouts += 1,
            Summary::Unviable => self.unviable += 1,
        }
    }

    fn noticed(&self) -> usize {
        self.caught + self.timeouts
    }

    fn viable(&self) -> usize {
        self.noticed() + self.missed
    }

    fn is_below(&self, floor: usize) -> bool {
        self.viable() >= FEWEST_FOR_FLOOR && 100 * self.noticed() < floor * self.viable()
    }
}

/// The form that the stage `mutants` shows: "20 of 21 caught, 3 of them hung, 2 do not compile".
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} caught, {} of them hung, {} do not compile",
            self.noticed(),
            self.viable(),
            self.timeouts,
            self.unviable
        )
    }
}

/// Judgement of a run against the floors and the list of survivors.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// Lines to print.
    pub(super) lines: Vec<String>,
    /// Reasons to fail.
    pub(super) faults: Vec<String>,
}

pub(super) fn judge(outcomes: &[Outcome], listed: &BTreeSet<String>) -> Result<Judgement> {
    let mut tallies: BTreeMap<&str, (usize, Tally)> = BTreeMap::new();
    for outcome in outcomes {
        let module = module_of(&outcome.file)
            .with_context(|| format!("{} is in no module with a floor", outcome.file))?;
        let (_, tally) = tallies
            .entry(module.name)
            .or_insert((module.floor, Tally::default()));
        tally.add(outcome.summary);
    }
    let mut judgement = Judgement::default();
    for (name, (floor, tally)) in tallies {
        judgement.lines.push(format!("mutants: {name} {tally}"));
        if tally.is_below(floor) {
            let fault = format!("{name} has less than {floor} % caught");
            judgement.faults.push(fault);
        }
    }
    let mut is_any_unlisted = false;
    for outcome in outcomes.iter().filter(|outcome| outcome.is_missed()) {
        let name = outcome.stable_name();
        let is_listed = listed.contains(&name);
        is_any_unlisted |= !is_listed;
        let prefix = if is_listed { "listed" } else { "not listed" };
        judgement.lines.push(format!("{prefix}: {name}"));
    }
    if is_any_unlisted {
        let fault = "survivors that docs/mutants.md does not list: \
            test what they change, or list them with the reason";
        judgement.faults.push(fault.to_owned());
    }
    Ok(judgement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(file: &str, what: &str, summary: Summary) -> Outcome {
        Outcome {
            file: file.to_owned(),
            name: format!("{file}:12:7: {what}"),
            summary,
            diff: PathBuf::new(),
            log: PathBuf::new(),
        }
    }

    #[test]
    fn parse_leaves_out_the_unchanged_code() {
        let text = r#"{"outcomes": [
            {"scenario": "Baseline", "summary": "Success", "log_path": "log/baseline.log", "diff_path": null},
            {"scenario": {"Mutant": {"name": "src/table/a.rs:3:9: replace f", "file": "src/table/a.rs", "genre": "FnValue"}},
             "summary": "MissedMutant", "log_path": "log/a.log", "diff_path": "diff/a.diff", "phase_results": []}
        ], "total_mutants": 1}"#;
        let outcomes = parse(text, Path::new("out")).unwrap();
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].stable_name(), "src/table/a.rs: replace f");
        assert_eq!(outcomes[0].diff, Path::new("out/diff/a.diff"));
        assert!(outcomes[0].is_missed());
    }

    #[test]
    fn parse_list_takes_a_remark_for_no_mutant() {
        assert!(parse_list("No mutants to filter\n").unwrap().is_empty());
        let listed = r#"[{"name": "a.rs:1:1: b", "file": "a.rs", "package": "x"}]"#;
        assert_eq!(parse_list(listed).unwrap(), ["a.rs:1:1: b"]);
        assert!(parse_list("[{}]").is_err());
    }

    #[test]
    fn judge_counts_what_hangs_as_caught() {
        let outcomes = [
            outcome("src/table/a.rs", "x", Summary::CaughtMutant),
            outcome("src/table/a.rs", "y", Summary::Timeout),
            outcome("src/table/a.rs", "z", Summary::Unviable),
            outcome("src/table/a.rs", "known", Summary::MissedMutant),
        ];
        let listed = BTreeSet::from(["src/table/a.rs: known".to_owned()]);
        let judgement = judge(&outcomes, &listed).unwrap();
        assert_eq!(
            judgement.lines,
            [
                "mutants: table 2 of 3 caught, 1 of them hung, 1 do not compile",
                "listed: src/table/a.rs: known"
            ]
        );
        assert_eq!(judgement.faults, [""; 0]);
    }

    #[test]
    fn judge_fails_for_a_survivor_that_is_not_listed() {
        let outcomes = [outcome(
            "eventryd/src/wire/a.rs",
            "x",
            Summary::MissedMutant,
        )];
        let judgement = judge(&outcomes, &BTreeSet::new()).unwrap();
        assert_eq!(judgement.lines[1], "not listed: eventryd/src/wire/a.rs: x");
        assert_eq!(judgement.faults.len(), 1);
    }

    #[test]
    fn judge_fails_below_the_floor_of_many() {
        let of = |caught, missed| Tally {
            caught,
            missed,
            ..Tally::default()
        };
        assert!(of(94, 6).is_below(95));
        assert!(!of(95, 5).is_below(95));
        assert!(!of(0, 19).is_below(95));
        assert!(of(18, 2).is_below(95));
    }

    #[test]
    fn judge_rejects_a_file_of_no_module() {
        let outcomes = [outcome("src/sync.rs", "x", Summary::CaughtMutant)];
        assert!(judge(&outcomes, &BTreeSet::new()).is_err());
    }
}
