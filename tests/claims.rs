//! The table of claims, `docs/event-api.md`, compared with the tests that it names and with `verification/claims.toml`,
//! which has for each claim a change that breaks it and a test that must notice.

use std::collections::BTreeMap;
use std::path::Path;

/// The claims there are: first and last of each chapter.
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

/// A row: its claim, and its last cell.
fn rows(table: &str) -> Vec<(u32, &str)> {
    table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| EV-")?.split(" | ");
            let claim = cells.next()?.trim().parse().ok()?;
            Some((claim, cells.last()?.trim_end_matches(" |")))
        })
        .collect()
}

/// What is wrong with a table, given a way to read a file of the project.
fn faults(table: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut found: BTreeMap<u32, usize> = BTreeMap::new();
    for (claim, cell) in rows(table) {
        *found.entry(claim).or_default() += 1;
        if let Some(reason) = cell.strip_prefix('—') {
            if reason.trim().is_empty() {
                faults.push(format!("EV-{claim} has neither a test nor a reason"));
            }
            continue;
        }
        for named in cell.split("<br>") {
            if let Err(fault) = check_named(named.trim_matches('`'), &read) {
                faults.push(format!("EV-{claim}: {fault}"));
            }
        }
    }
    for claim in CHAPTERS.iter().flat_map(|(first, last)| *first..=*last) {
        match found.remove(&claim) {
            Some(1) => {}
            Some(times) => faults.push(format!("EV-{claim} stands there {times} times")),
            None => faults.push(format!("EV-{claim} is missing")),
        }
    }
    let unknown = found.keys().map(|claim| format!("EV-{claim} is no claim"));
    faults.extend(unknown);
    faults
}

fn check_named(named: &str, read: impl Fn(&str) -> Option<String>) -> Result<(), String> {
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

/// Faults of the list of what breaks each claim: a claim without an entry, an entry without a claim, and an entry whose
/// check is not one of its claim's tests.
fn faults_of_entries(claims: &str, entries: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let entries: toml::Table = entries.parse().expect("the list is TOML");
    let claims: BTreeMap<String, &str> = rows(claims)
        .into_iter()
        .map(|(claim, shown)| (format!("EV-{claim}"), shown))
        .collect();
    for (claim, entry) in &entries {
        let Some(shown) = claims.get(claim) else {
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
        let mut names = shown.split("<br>").map(|named| named.trim_matches('`'));
        if !names.any(|named| named == check || Some(named) == whole_file.as_deref()) {
            faults.push(format!("{claim} is not shown by {check}"));
        }
    }
    let missing = claims.keys().filter(|claim| !entries.contains_key(*claim));
    faults.extend(missing.map(|claim| format!("{claim} has no entry")));
    faults
}

#[test]
fn every_claim_has_a_change_that_one_of_its_tests_notices() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let (claims, entries) = (read("docs/event-api.md"), read("verification/claims.toml"));
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
        ["EV-101 is not shown by tests/it.rs::two"]
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    let table = read("docs/event-api.md").unwrap();
    assert_eq!(faults(&table, read), [""; 0]);
}

#[test]
fn a_table_with_a_hole_a_dead_name_or_a_stranger_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    let table = read("docs/event-api.md").unwrap();
    let notices = |table: String, expected: &str| {
        let faults = faults(&table, read);
        assert!(
            faults.iter().any(|fault| fault.contains(expected)),
            "{expected}: {faults:?}"
        );
    };
    let without = |claim: &str| -> String {
        let kept = table.lines().filter(|line| !line.contains(claim));
        kept.map(|line| format!("{line}\n")).collect()
    };
    notices(without("| EV-501 |"), "EV-501 is missing");
    notices(
        format!("{table}| EV-9999 | x | — y |\n"),
        "EV-9999 is no claim",
    );
    notices(
        format!("{table}| EV-501 | x | — y |\n"),
        "EV-501 stands there 2 times",
    );
    let row = "| EV-501 | x | `tests/claims.rs::no_such_test` |\n";
    notices(
        format!("{}{row}", without("| EV-501 |")),
        "has no no_such_test",
    );
    let row = "| EV-501 | x | `tests/no_such_file.rs::test` |\n";
    notices(
        format!("{}{row}", without("| EV-501 |")),
        "there is no tests/no_such_file.rs",
    );
    let row = "| EV-501 | x | — |\n";
    notices(
        format!("{}{row}", without("| EV-501 |")),
        "neither a test nor a reason",
    );
}
