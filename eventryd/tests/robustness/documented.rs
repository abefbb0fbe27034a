//! Checks of `docs/bad-input.md`: its table of cases is up to date, and the named tests exist.

use crate::cases::{Answer, Case, cases};
use std::fs;
use std::path::Path;

/// The root directory of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const BEGIN: &str = "| input | reply | connection | log message |\n|---|---|---|---|\n";

fn row(case: &Case) -> String {
    let answer = match &case.answer {
        Answer::Nothing => "none".to_owned(),
        Answer::Success => "success".to_owned(),
        Answer::Pong => "pong".to_owned(),
        Answer::Error(code, text) => format!("error {code} “{text}”"),
    };
    let connection = if case.stays_open { "open" } else { "closed" };
    let log = case
        .log
        .as_deref()
        .map_or("—".to_owned(), |log| format!("`{log}`"));
    format!("| {} | {answer} | {connection} | {log} |\n", case.name)
}

/// With `EVENTRY_WRITE=1` this test rewrites the table.
#[test]
fn the_documented_cases_are_those_that_are_tried() {
    let path = Path::new(ROOT).join("docs/bad-input.md");
    let found = fs::read_to_string(&path).unwrap();
    let begin = found.find(BEGIN).expect("the header of the table") + BEGIN.len();
    let end = begin + found[begin..].find("\n\n").expect("the end of the table") + 1;
    let table: String = cases().iter().map(row).collect();
    if std::env::var_os("EVENTRY_WRITE").is_some() {
        let written = [&found[..begin], &table, &found[end..]].concat();
        fs::write(&path, written).unwrap();
        return;
    }
    let help = "docs/bad-input.md: EVENTRY_WRITE=1 cargo test -p eventryd --test robustness";
    assert!(found[begin..end] == table, "{help}");
}

/// Returns the number of tests that a text names, and the names of missing tests.
fn missing(text: &str, read: impl Fn(&str) -> Option<String>) -> (usize, Vec<String>) {
    let named: Vec<&str> = text.split('`').filter(|part| part.contains("::")).collect();
    let missing = named.iter().filter(|named| {
        let (file, test) = named.split_once("::").unwrap_or((named, ""));
        !read(file).is_some_and(|text| text.contains(&format!("fn {test}(")))
    });
    (
        named.len(),
        missing.map(|named| (*named).to_owned()).collect(),
    )
}

#[test]
fn every_test_that_the_document_of_bad_input_names_exists() {
    let root = Path::new(ROOT);
    let read = |file: &str| fs::read_to_string(root.join(file)).ok();
    let text = read("docs/bad-input.md").unwrap();
    let (named, wrong) = missing(&text, read);
    assert_eq!(wrong, [""; 0]);
    assert!(named > 40, "only {named} tests are named");
    let (_, wrong) = missing(
        "`eventryd/tests/network/tls.rs::no_such_test` `tests/nothing.rs::a`",
        read,
    );
    assert_eq!(wrong.len(), 2);
}
