//! The table of claims, `docs/event-api.md`, held against the tests it names, and `docs/broken-claims.md`, which says how
//! each check is known to notice, held against that.

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

/// What is wrong with a table of what breaks each claim: every claim has one row, whose check is one of its own, or a
/// reason.
fn unbroken(claims: &str, broken: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let claims: BTreeMap<u32, &str> = rows(claims).into_iter().collect();
    let mut left = claims.clone();
    for line in broken.lines().filter(|line| line.starts_with("| EV-")) {
        let (claim, check) = rows(line)[0];
        let Some(shown) = left.remove(&claim) else {
            faults.push(format!("EV-{claim} is no claim, or broken twice"));
            continue;
        };
        let check = check.trim_matches('`');
        let whole_file = check.split_once("::").map(|(file, _)| format!("{file}::*"));
        let mut names = shown.split("<br>").map(|named| named.trim_matches('`'));
        let is_its_own = names.any(|named| named == check || Some(named) == whole_file.as_deref());
        let reason = line.split(" | ").nth(1);
        let has_reason = reason.is_some_and(|reason| reason.starts_with("— ")) && check == "—";
        if !is_its_own && !has_reason {
            faults.push(format!("EV-{claim} is not shown by {check}"));
        }
    }
    let missing = left.keys().map(|claim| format!("EV-{claim} is not broken"));
    faults.extend(missing);
    faults
}

#[test]
fn every_claim_is_broken_by_a_change_that_a_check_of_it_notices() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let (claims, broken) = (read("docs/event-api.md"), read("docs/broken-claims.md"));
    assert_eq!(unbroken(&claims, &broken), [""; 0]);

    let without = |claim: &str| -> String {
        let kept = broken.lines().filter(|line| !line.contains(claim));
        kept.map(|line| format!("{line}\n")).collect()
    };
    let notices = |broken: String, expected: &str| {
        let faults = unbroken(&claims, &broken);
        assert_eq!(faults, [expected]);
    };
    notices(without("| EV-501 |"), "EV-501 is not broken");
    let row = "| EV-501 | x | `tests/repository/claims.rs::no_such_test` |\n";
    notices(
        without("| EV-501 |") + row,
        "EV-501 is not shown by tests/repository/claims.rs::no_such_test",
    );
    notices(
        without("| EV-501 |") + "| EV-501 | x | — |\n",
        "EV-501 is not shown by —",
    );
    notices(
        format!("{broken}| EV-9999 | — y | — |\n"),
        "EV-9999 is no claim, or broken twice",
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
fn broken_claims_table_is_reported() {
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
    let row = "| EV-501 | x | `tests/repository/claims.rs::no_such_test` |\n";
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
