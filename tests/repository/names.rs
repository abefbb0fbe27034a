//! Check of the names of tests.

use crate::layers::{FOLDERS, files, root};
use crate::source::{code_of, words};
use std::path::Path;

/// Maximum length of a test name, which states the call, the condition and the result.
const LONGEST_NAME: usize = 60;

/// Returns the names of the tests in `source`.
fn tests_in(source: &str) -> Vec<String> {
    let code = code_of(source);
    let after_attribute = code.split("#[test]").skip(1);
    after_attribute
        .filter_map(|rest| {
            let mut words = words(rest).map(|(_, word)| word);
            words.find(|word| *word == "fn")?;
            words.next().map(str::to_owned)
        })
        .collect()
}

fn too_long(path: &Path, source: &str) -> Vec<String> {
    let long = tests_in(source)
        .into_iter()
        .filter(|name| name.len() > LONGEST_NAME);
    long.map(|name| format!("{}: {name}", path.display()))
        .collect()
}

#[test]
fn no_test_name_is_too_long() {
    let sources = FOLDERS.iter().flat_map(|folder| files(folder, &["rs"]));
    let sources: Vec<_> = sources.collect();
    let count: usize = sources.iter().map(|(_, text)| tests_in(text).len()).sum();
    assert!(count > 700, "only {count} tests were found");
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| too_long(path.strip_prefix(root()).unwrap(), text))
        .collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_planted_long_test_name_is_found() {
    let source = |name: &str| {
        format!("#[test]\n#[ignore = \"x\"]\nfn {name}() {{}}\nfn {name}_helper() {{}}\n")
    };
    let path = Path::new("tests/tracing.rs");
    assert_eq!(too_long(path, &source(&"x".repeat(61))).len(), 1);
    assert_eq!(too_long(path, &source(&"x".repeat(60))).len(), 0);
}
