//! Checks of the lists of rules.
//!
//! The tables in `docs/event-api.md` and `docs/daemon-rules.md` are compared with the tests that they name and with the rules
//! that the repository cites. `verification/claims.toml` must have for each claim a change that breaks it and a test that
//! detects the change.

use crate::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rules of the event API: first and last of each chapter.
const CHAPTERS: [(u32, u32); 12] = [
    (101, 107),
    (201, 208),
    (301, 310),
    (401, 404),
    (501, 514),
    (601, 616),
    (701, 714),
    (801, 813),
    (901, 908),
    (1001, 1007),
    (1101, 1107),
    (1201, 1205),
];

/// A kind of rule, and the document that lists its rules.
#[derive(Clone, Copy)]
struct Rules {
    prefix: &'static str,
    document: &'static str,
}

const EVENT_API: Rules = Rules {
    prefix: "EV-",
    document: "docs/event-api.md",
};

const DAEMON: Rules = Rules {
    prefix: "DM-",
    document: "docs/daemon-rules.md",
};

impl Rules {
    fn table(self) -> String {
        read(self.document).unwrap()
    }

    /// Returns the rules of a table in its order, each with its last cell.
    fn rows(self, table: &str) -> Vec<(u32, &str)> {
        let row = format!("| {}", self.prefix);
        let cells = table.lines().filter_map(|line| {
            let mut cells = line.strip_prefix(&row)?.split(" | ");
            let rule = cells.next()?.trim().parse().ok()?;
            Some((rule, cells.last()?.trim_end_matches(" |")))
        });
        cells.collect()
    }

    /// Returns the rules that a text cites by number or in a range: `DM-101…105`, `DM-101 to DM-105`.
    fn cited_in(self, text: &str) -> BTreeSet<u32> {
        let mut cited = BTreeSet::new();
        for (at, _) in text.match_indices(self.prefix) {
            let Some((first, rest)) = number(&text[at + self.prefix.len()..]) else {
                continue;
            };
            let last = rest
                .strip_prefix('…')
                .or_else(|| rest.strip_prefix(" to ")?.strip_prefix(self.prefix))
                .and_then(number)
                .map_or(first, |(last, _)| last);
            cited.extend(first..=last);
        }
        cited
    }

    /// Returns the rules that the repository cites outside of their document.
    fn cited(self) -> BTreeSet<u32> {
        let files = tree::files().into_iter();
        let others = files.filter(|file| file.path != self.document);
        others.flat_map(|file| self.cited_in(&file.text)).collect()
    }

    /// Returns the rules that the document must list.
    fn expected(self) -> BTreeSet<u32> {
        match self.prefix {
            "EV-" => CHAPTERS
                .iter()
                .flat_map(|(first, last)| *first..=*last)
                .collect(),
            _ => self.cited(),
        }
    }

    /// Returns the faults of a table that must list the rules `expected`, in the order of their numbers.
    fn faults(self, table: &str, expected: &BTreeSet<u32>) -> Vec<String> {
        let prefix = self.prefix;
        let rows = self.rows(table);
        let mut faults = Vec::new();
        let mut found: BTreeMap<u32, usize> = BTreeMap::new();
        for (rule, cell) in &rows {
            *found.entry(*rule).or_default() += 1;
            if let Some(reason) = cell.strip_prefix('—') {
                if reason.trim().is_empty() {
                    faults.push(format!("{prefix}{rule} has neither a test nor a reason"));
                }
                continue;
            }
            for named in cell.split("<br>") {
                if let Err(fault) = check_named(named.trim_matches('`')) {
                    faults.push(format!("{prefix}{rule}: {fault}"));
                }
            }
        }
        for rule in expected {
            match found.remove(rule) {
                Some(1) => {}
                Some(times) => faults.push(format!("{prefix}{rule} has {times} rows")),
                None => faults.push(format!("{prefix}{rule} is missing")),
            }
        }
        let unknown = found.keys();
        faults.extend(unknown.map(|rule| format!("{prefix}{rule} is unknown")));
        let disordered = rows.windows(2).filter(|rows| rows[0].0 > rows[1].0);
        faults.extend(disordered.map(|rows| format!("{prefix}{} is out of order", rows[1].0)));
        faults
    }
}

/// Splits a text after its leading number.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn check_named(named: &str) -> Result<(), String> {
    let (file, test) = named
        .split_once("::")
        .ok_or_else(|| format!("{named:?} names no test"))?;
    let text = read(file).ok_or_else(|| format!("there is no {file}"))?;
    let exists = match (test, file.ends_with(".c")) {
        ("*", _) => true,
        (case, true) => text.contains(&format!("(\"{case}\", ")),
        (test, false) => text.contains(&format!("fn {test}(")),
    };
    exists
        .then_some(())
        .ok_or_else(|| format!("{file} has no {test}"))
}

/// Returns the faults of `verification/claims.toml`: a claim without an entry, an entry without a claim, and an entry whose
/// check is not one of the tests of its claim.
fn faults_of_entries(claims: &str, entries: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let entries: toml::Table = entries.parse().expect("the list is TOML");
    let claims: BTreeMap<String, &str> = EVENT_API
        .rows(claims)
        .into_iter()
        .map(|(claim, tests)| (format!("EV-{claim}"), tests))
        .collect();
    for (claim, entry) in &entries {
        let Some(tests) = claims.get(claim) else {
            faults.push(format!("{claim} is not a claim"));
            continue;
        };
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
        let Some(check) = text("check") else {
            if text("reason").is_none_or(str::is_empty) {
                faults.push(format!("{claim} has neither a check nor a reason"));
            }
            continue;
        };
        let whole_file = check.split_once("::").map(|(file, _)| format!("{file}::*"));
        let mut names = tests.split("<br>").map(|named| named.trim_matches('`'));
        if !names.any(|named| named == check || Some(named) == whole_file.as_deref()) {
            faults.push(format!("{claim} is not tested by {check}"));
        }
    }
    let missing = claims.keys().filter(|claim| !entries.contains_key(*claim));
    faults.extend(missing.map(|claim| format!("{claim} has no entry")));
    faults
}

/// Returns a table without the rows of a rule.
fn without(table: &str, rule: &str) -> String {
    let kept = table
        .lines()
        .filter(|line| !line.starts_with(&format!("| {rule} |")));
    kept.map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_claim_has_a_change_that_its_test_detects() {
    let claims = read("docs/event-api.md").unwrap();
    let entries = read("verification/claims.toml").unwrap();
    assert_eq!(faults_of_entries(&claims, &entries), [""; 0]);
}

#[test]
fn a_claim_without_a_change_or_with_a_foreign_test_is_found() {
    let claims = "| EV-101 | x | `tests/it.rs::one`<br>`tests/all.rs::*` |\n| EV-102 | x | — y |\n";
    let faults = |entries: &str| faults_of_entries(claims, entries);
    let reason = "[EV-102]\nreason = 'y'\n";
    for check in ["tests/it.rs::one", "tests/all.rs::any"] {
        let entries = format!("[EV-101]\ncheck = '{check}'\n{reason}");
        assert_eq!(faults(&entries), [""; 0]);
    }
    let entries = format!("[EV-101]\ncheck = 'tests/it.rs::two'\n{reason}");
    assert_eq!(
        faults(&entries),
        ["EV-101 is not tested by tests/it.rs::two"]
    );
    assert_eq!(faults(reason), ["EV-101 has no entry"]);
    let entries = format!("[EV-101]\nreason = ''\n{reason}[EV-103]\nreason = 'z'\n");
    assert_eq!(
        faults(&entries),
        [
            "EV-101 has neither a check nor a reason",
            "EV-103 is not a claim"
        ]
    );
}

#[test]
fn every_claim_of_the_event_api_names_tests_that_exist() {
    let faults = EVENT_API.faults(&EVENT_API.table(), &EVENT_API.expected());
    assert_eq!(faults, [""; 0]);
}

#[test]
fn every_rule_of_the_daemon_names_tests_that_exist() {
    let faults = DAEMON.faults(&DAEMON.table(), &DAEMON.expected());
    assert_eq!(faults, [""; 0]);
}

#[test]
fn every_cited_claim_of_the_event_api_has_a_row() {
    let unknown: Vec<u32> = EVENT_API
        .cited()
        .difference(&EVENT_API.expected())
        .copied()
        .collect();
    assert_eq!(unknown, []);
}

#[test]
fn rules_are_cited_by_number_or_in_ranges() {
    let prefix = DAEMON.prefix;
    for (text, cited) in [
        (format!("({prefix}101, {prefix}9)"), vec![9, 101]),
        (format!("{prefix}101…103)."), vec![101, 102, 103]),
        (format!("{prefix}7 to {prefix}9)"), vec![7, 8, 9]),
        (format!("{prefix}7 to be"), vec![7]),
        (format!("{prefix}n"), vec![]),
    ] {
        assert_eq!(
            DAEMON.cited_in(&text),
            cited.into_iter().collect(),
            "{text}"
        );
    }
}

#[test]
fn missing_wrong_and_unknown_rows_are_found() {
    for (rules, rule) in [(EVENT_API, "EV-501"), (DAEMON, "DM-501")] {
        let (table, expected) = (rules.table(), rules.expected());
        let expect_fault = |table: String, fault: &str| {
            let faults = rules.faults(&table, &expected);
            assert!(
                faults.iter().any(|found| found.contains(fault)),
                "{fault}: {faults:?}"
            );
        };
        let with = |row: &str| {
            let changed = |line: &str| match line.starts_with(&format!("| {rule} |")) {
                true => format!("| {rule} | x | {row} |\n"),
                false => format!("{line}\n"),
            };
            table.lines().map(changed).collect::<String>()
        };
        let unknown = format!("{}9999", rules.prefix);
        expect_fault(without(&table, rule), &format!("{rule} is missing"));
        expect_fault(
            format!("{table}| {unknown} | x | — y |\n"),
            &format!("{unknown} is unknown"),
        );
        expect_fault(
            format!("{table}| {rule} | x | — y |\n"),
            &format!("{rule} has 2 rows"),
        );
        expect_fault(
            format!("{table}| {rule} | x | — y |\n"),
            &format!("{rule} is out of order"),
        );
        expect_fault(
            with("`tests/repository/claims.rs::no_such_test`"),
            "has no no_such_test",
        );
        expect_fault(
            with("`tests/no_such_file.rs::test`"),
            "there is no tests/no_such_file.rs",
        );
        expect_fault(with("`tests/repository/claims.rs`"), "names no test");
        expect_fault(with("—"), "neither a test nor a reason");
    }
}
