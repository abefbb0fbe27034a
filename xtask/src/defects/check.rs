//! Faults of the list of defects that can be found without a build.

use super::engines;
use super::list::{Check, Defect, Defects};
use super::plant::{self, PLACEHOLDER};
use crate::layout;
use crate::tree::{self, Files};
use anyhow::Result;
use std::collections::BTreeSet;

/// Least number of defects, so that none is lost unnoticed.
const FLOOR: usize = 99;

/// Faults of the list: changes that do not apply, checks that do not exist, defects without a promise.
pub(super) fn faults(defects: &Defects, files: &Files) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if defects.all.len() < FLOOR {
        faults.push(format!("{} defects, fewer than {FLOOR}", defects.all.len()));
    }
    for (file, test) in engines::tests() {
        if !tree::text(files, file)?.contains(&format!("fn {test}(")) {
            faults.push(format!("{file} has no test {test}"));
        }
    }
    let (promises, _) = tree::text(files, layout::PROOF)?
        .split_once(layout::PROOF_PROMISES_END)
        .unwrap_or_default();
    let mut names = BTreeSet::new();
    for defect in &defects.all {
        let mut fault = |what: String| faults.push(format!("{}: {what}", defect.name));
        if !names.insert(&defect.name) {
            fault("the name is used twice".to_owned());
        }
        if !promises.contains(&format!("`{}`", defect.name)) {
            fault(format!("stands beside no promise in {}", layout::PROOF));
        }
        if defect.checks.is_empty() {
            fault("has no check".to_owned());
        }
        for check in &defect.checks {
            if !exists(check, files)? {
                fault(format!("there is no {check:?}"));
            }
        }
        faults.extend(faults_of_changes(defect, files));
    }
    for setup in &defects.setup {
        let change = &setup.change;
        let applied = tree::text(files, &change.file)
            .and_then(|text| tree::change_file(text, [(&*change.find, String::new())]));
        faults.extend(
            applied
                .err()
                .map(|error| format!("{}: {error}", change.file)),
        );
    }
    // Only now: what is wrong with a single change has been said.
    if faults.is_empty() {
        let applied = plant::planted(defects, files.clone());
        faults.extend(applied.err().map(|error| format!("{error:#}")));
    }
    Ok(faults)
}

fn faults_of_changes(defect: &Defect, files: &Files) -> Vec<String> {
    let mut faults = Vec::new();
    if defect.changes.is_empty() {
        faults.push(format!("{}: has no change", defect.name));
    }
    for change in &defect.changes {
        let applied = tree::text(files, &change.file)
            .and_then(|text| tree::change_file(text, [(&*change.find, String::new())]));
        if let Err(error) = applied {
            faults.push(format!("{}: {}: {error:#}", defect.name, change.file));
        }
        if !change.replace.contains(PLACEHOLDER) {
            let name = &defect.name;
            faults.push(format!("{name}: a replacement has no {PLACEHOLDER}"));
        }
    }
    faults
}

/// Whether the check is in the source of its engine.
fn exists(check: &Check, files: &Files) -> Result<bool> {
    let any_has = |sources: &[&str], text: &str| -> Result<bool> {
        for source in sources {
            if tree::text(files, source)?.contains(text) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match check {
        Check::Search { rule } | Check::Sequences { rule } => {
            any_has(layout::RULES, &format!("`{rule}`"))
        }
        Check::Loom { model, .. } => any_has(layout::MODELS, &format!("\"{model}\"")),
        Check::EventLoop { test } => {
            let Some((module, name)) = test.rsplit_once("::") else {
                return Ok(false);
            };
            let module = module.replace("::", "/");
            let file = format!("{}/{module}.rs", layout::EVENT_LOOP);
            any_has(&[&file], &format!("fn {name}("))
        }
        Check::Daemon { test } => {
            let Some((modules, name)) = test.rsplit_once("::") else {
                return Ok(false);
            };
            let path = format!("{}/{}", layout::DAEMON_TESTS, modules.replace("::", "/"));
            // A test may be in the root of its program.
            let files_of_test = [format!("{path}.rs"), format!("{path}/main.rs")];
            let mut found = files_of_test
                .iter()
                .filter(|file| files.contains_key(*file));
            let Some(file) = found.next() else {
                return Ok(false);
            };
            any_has(&[file], &format!("fn {name}("))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        setup = []
        [[defect]]
        name = "Wrong"
        description = "One is two."
        checks = [{ engine = "search", rule = "I1" }, { engine = "loom", model = "L1", says = "I1" }]
        [[defect.change]]
        file = "src/one.rs"
        find = "1"
        replace = "if PLANTED { 2 } else { 1 }"
    "#;

    /// Faults of the list, but for those of the real tests that this tree lacks.
    fn faults_of(list: &str) -> Vec<String> {
        let defects = Defects::parse(list).expect("the list can be read");
        let tests: String = engines::tests()
            .map(|(_, test)| format!("fn {test}()"))
            .collect();
        let promises = format!("`Wrong`\n{}\n", layout::PROOF_PROMISES_END);
        let mut files = Files::new();
        let mut add = |name: &str, text: &str| files.insert(name.to_owned(), text.into());
        add("src/one.rs", "const ONE: u8 = 1;");
        add("src/lib.rs", "mod one;");
        add(layout::PROOF, &promises);
        add(layout::ENGINES, &tests);
        add(layout::SLEEP, &tests);
        for rules in layout::RULES {
            add(rules, "`I1`");
        }
        for models in layout::MODELS {
            add(models, "\"L1\"");
        }
        let mut faults = faults(&defects, &files).expect("the files are there");
        faults.retain(|fault| !fault.contains("fewer than"));
        faults
    }

    #[test]
    fn faults_finds_nothing_in_a_correct_list() {
        assert_eq!(faults_of(LIST), [""; 0]);
    }

    #[test]
    fn faults_finds_each_mistake() {
        for (right, wrong, expected) in [
            ("find = \"1\"", "find = \"2\"", "does not contain \"2\""),
            ("src/one.rs", "src/two.rs", "there is no file src/two.rs"),
            ("PLANTED", "true", "a replacement has no PLANTED"),
            (
                "rule = \"I1\"",
                "rule = \"I2\"",
                "there is no Search { rule: \"I2\" }",
            ),
            ("model = \"L1\"", "model = \"L2\"", "there is no Loom"),
            ("\"Wrong\"", "\"Unknown\"", "stands beside no promise"),
        ] {
            assert!(LIST.contains(right));
            let faults = faults_of(&LIST.replace(right, wrong));
            assert!(
                faults.iter().any(|fault| fault.contains(expected)),
                "{expected}: {faults:?}"
            );
        }
        let (_, defect) = LIST.split_once("[[defect]]").expect("there is a defect");
        let twice = format!("{LIST}[[defect]]{defect}");
        let faults = faults_of(&twice);
        assert!(faults[0].contains("the name is used twice"), "{faults:?}");
    }

    #[test]
    fn planted_puts_a_switch_into_the_crate() {
        let defects = Defects::parse(LIST).expect("the list can be read");
        let files = [("src/one.rs", "1"), ("src/lib.rs", "mod one;")];
        let files = files.map(|(name, text)| (name.to_owned(), text.into()));
        let planted = plant::planted(&defects, files.into_iter().collect());
        let planted = planted.expect("the change applies");
        let text = |name| tree::text(&planted, name).expect("the file is there");
        let switch = "if crate::planted::is_planted(0) { 2 } else { 1 }";
        assert_eq!(text("src/one.rs"), switch);
        assert!(text("src/lib.rs").ends_with("mod planted;\n"));
        assert!(text("src/planted.rs").contains(r#"["Wrong"]"#));
    }
}
