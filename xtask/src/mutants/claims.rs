//! Mutants that break the claims of `docs/event-api.md`.

use super::outcomes::Outcome;
use anyhow::Result;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// A claim and the tests that its row names.
#[derive(Debug, PartialEq)]
struct Claim {
    name: String,
    /// File and test; `*` is every test of the file.
    tests: Vec<(String, String)>,
}

/// Mutants by the test that fails with them.
pub(super) type Failures = BTreeMap<String, BTreeSet<String>>;

/// Adds the tests that failed with a mutant, according to the output of the tests.
pub(super) fn add_failures(failures: &mut Failures, outcome: &Outcome, log: &str) -> Result<()> {
    let failed = Regex::new(r"(?m)^test (\S+) \.\.\. FAILED")?;
    for test in failed.captures_iter(log) {
        let mutants = failures.entry(test[1].to_owned()).or_default();
        mutants.insert(outcome.stable_name());
    }
    Ok(())
}

/// Rows of a table: each claim of the document, the number of the mutants that make one of its tests fail, and the
/// mutant that breaks the fewest tests, which says most about the claim.
pub(super) fn table(document: &str, failures: &Failures) -> Result<Vec<String>> {
    let rows = claims(document)?.into_iter().map(|claim| {
        let broken: BTreeSet<&String> = failures
            .iter()
            .filter(|(test, _)| claim.tests.iter().any(|named| is_named(test, named)))
            .flat_map(|(_, mutants)| mutants)
            .collect();
        let example = broken.iter().min_by_key(|mutant| {
            let tests = failures.values().filter(|of| of.contains(**mutant));
            (tests.count(), **mutant)
        });
        let example = example.map_or("–".to_owned(), |mutant| format!("`{mutant}`"));
        let row = format!("| {} | {} | {example} |", claim.name, broken.len());
        row.replace("||", r"\|\|")
    });
    Ok(rows.collect())
}

/// Rows of the document's table: `| EV-n | … | tests |`.
fn claims(document: &str) -> Result<Vec<Claim>> {
    let row = Regex::new(r"(?m)^\| (EV-\d+) \|.*\| (.*) \|$")?;
    let test = Regex::new(r"`(?:\S+)/(\w+)\.rs::(\S+?)`")?;
    let claims = row.captures_iter(document).map(|row| Claim {
        name: row[1].to_owned(),
        tests: test
            .captures_iter(&row[2])
            .map(|test| (test[1].to_owned(), test[2].to_owned()))
            .collect(),
    });
    Ok(claims.collect())
}

/// Compares a test, `module::name`, with a name in a claim.
fn is_named(test: &str, (file, name): &(String, String)) -> bool {
    if name == "*" {
        let rest = test.strip_prefix(file.as_str());
        return rest.is_some_and(|rest| rest.starts_with("::"));
    }
    test.rsplit("::").next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::outcomes::Summary;
    use std::path::PathBuf;

    const DOCUMENT: &str = "\
| EV-101 | adds | `tests/event_loop/add.rs::ids_are_unique` |
| EV-102 | removes | `tests/event_loop/remove.rs::*`, by loom |
| EV-103 | sleeps | `tests/event_loop/sleep.rs::wakes` |
";

    fn failures(of: &[(&str, &str)]) -> Failures {
        let mut failures = Failures::new();
        for (mutant, log) in of {
            let outcome = Outcome {
                file: "src/table/a.rs".to_owned(),
                name: format!("src/table/a.rs:1:2: {mutant}"),
                summary: Summary::CaughtMutant,
                diff: PathBuf::new(),
                log: PathBuf::new(),
            };
            add_failures(&mut failures, &outcome, log).unwrap();
        }
        failures
    }

    #[test]
    fn table_shows_the_mutant_that_breaks_the_fewest_tests() {
        let failures = failures(&[
            (
                "a",
                "test add::ids_are_unique ... FAILED\ntest remove::once ... FAILED\n",
            ),
            ("x || y", "test remove::twice ... FAILED\n"),
            ("c", "test add::other ... FAILED\ntest sleep::b ... ok\n"),
        ]);
        assert_eq!(
            table(DOCUMENT, &failures).unwrap(),
            [
                "| EV-101 | 1 | `src/table/a.rs: a` |",
                r"| EV-102 | 2 | `src/table/a.rs: x \|\| y` |",
                "| EV-103 | 0 | – |"
            ]
        );
    }
}
