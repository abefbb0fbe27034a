//! The tests that entries name: `FILE::TEST`.

use crate::layout;
use crate::process::Program;
use crate::tree::{self, Files};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// A test that must fail.
#[derive(Debug, PartialEq)]
pub(super) enum Test {
    /// A test of a Rust program.
    Rust {
        /// Arguments of `cargo test` that select package, features and program.
        arguments: Vec<String>,
        /// Name as the program knows it; none if the program has no test harness and runs as a whole.
        name: Option<String>,
    },
    /// A case of the C conformance program.
    C { case: String },
}

/// The part of a `Cargo.toml` that says which test programs have no harness.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default, rename = "test")]
    tests: Vec<TestTarget>,
}

#[derive(Deserialize)]
struct TestTarget {
    name: String,
    #[serde(default = "yes")]
    harness: bool,
}

fn yes() -> bool {
    true
}

impl Test {
    /// Finds out what to build and run for `FILE::TEST`.
    pub(super) fn parse(check: &str, files: &Files) -> Result<Test> {
        let (file, name) = check
            .split_once("::")
            .with_context(|| format!("{check:?} is not FILE::TEST"))?;
        if !files.contains_key(file) {
            bail!("{check}: there is no file {file}");
        }
        if file.ends_with(".c") {
            let case = name.to_owned();
            return Ok(Test::C { case });
        }
        let (directory, package) = match file.strip_prefix(layout::DAEMON) {
            Some(_) => (layout::DAEMON, layout::DAEMON_PACKAGE),
            None => ("", layout::LIBRARY_PACKAGE),
        };
        let path = file[directory.len()..].trim_end_matches(".rs");
        let parts: Vec<&str> = path.split('/').collect();
        let (target, name) = match *parts {
            ["src", ref modules @ ..] => {
                // The module of a file, or of the directory of a file `tests.rs` or `mod.rs`.
                let mut modules = modules.to_vec();
                modules.retain(|module| *module != "mod");
                if modules.last() != Some(&"tests") {
                    modules.push("tests");
                }
                modules.push(name);
                ("--lib".to_owned(), modules.join("::"))
            }
            ["tests", program, ref modules @ ..] => {
                let mut modules = modules.to_vec();
                modules.retain(|module| !["main", "mod"].contains(module));
                modules.push(name);
                (format!("--test={program}"), modules.join("::"))
            }
            _ => bail!("{check}: {file} is neither in `src` nor in `tests`"),
        };
        let mut arguments = vec![format!("--package={package}")];
        if package == layout::LIBRARY_PACKAGE {
            arguments.extend(layout::BARE.iter().map(|&argument| argument.to_owned()));
        }
        let manifest = tree::text(files, &format!("{directory}Cargo.toml"))?;
        let manifest: Manifest = toml::from_str(manifest)?;
        let has_harness =
            |test: &TestTarget| test.harness || target != format!("--test={}", test.name);
        let name = manifest.tests.iter().all(has_harness).then_some(name);
        arguments.push(target);
        Ok(Test::Rust { arguments, name })
    }

    /// Arguments of `cargo test`.
    pub(super) fn arguments(&self) -> Vec<&str> {
        match self {
            Test::Rust { arguments, .. } => arguments.iter().map(String::as_str).collect(),
            Test::C { .. } => Vec::new(),
        }
    }

    /// Arguments of the test program.
    pub(super) fn selection(&self) -> Vec<&str> {
        match self {
            Test::Rust {
                name: Some(name), ..
            } => vec!["--exact", name],
            Test::Rust { name: None, .. } => Vec::new(),
            Test::C { case } => vec!["eventry", case],
        }
    }

    /// Whether the program prints how many tests it runs.
    pub(super) fn is_of_libtest(&self) -> bool {
        matches!(self, Test::Rust { name: Some(_), .. })
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.arguments().into_iter().chain(self.selection());
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

/// Path of the one program of a build.
pub(super) fn only_program(mut programs: Vec<Program>) -> Result<PathBuf> {
    let program = programs.pop().filter(|_| programs.is_empty());
    Ok(program.context("cargo built more than one program")?.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let manifest =
            "[[test]]\nname = \"signals\"\nharness = false\n[[test]]\nname = \"workers\"";
        let files = [
            "src/table/radix.rs",
            "src/table/tests.rs",
            "src/table/mod.rs",
            "tests/signals.rs",
            "tests/workers.rs",
            "tests/event_loop/turn.rs",
            "tests/capi/cases.c",
        ];
        let files = files.map(|file| (file.to_owned(), Vec::new()));
        let manifest = [("Cargo.toml".to_owned(), manifest.into())];
        files.into_iter().chain(manifest).collect()
    }

    #[test]
    fn parse_finds_program_and_name() {
        for (check, target, name) in [
            (
                "src/table/radix.rs::it",
                "--lib",
                Some("table::radix::tests::it"),
            ),
            ("src/table/tests.rs::it", "--lib", Some("table::tests::it")),
            ("src/table/mod.rs::it", "--lib", Some("table::tests::it")),
            ("tests/signals.rs::it", "--test=signals", None),
            ("tests/workers.rs::it", "--test=workers", Some("it")),
            (
                "tests/event_loop/turn.rs::it",
                "--test=event_loop",
                Some("turn::it"),
            ),
        ] {
            let Test::Rust {
                arguments,
                name: found,
            } = Test::parse(check, &files()).unwrap()
            else {
                panic!("{check} is a test in Rust");
            };
            assert_eq!(arguments.last().map(String::as_str), Some(target));
            assert_eq!(found.as_deref(), name);
        }
        let case = "AB".to_owned();
        let test = Test::parse("tests/capi/cases.c::AB", &files());
        assert_eq!(test.unwrap(), Test::C { case });
    }

    #[test]
    fn parse_rejects_what_is_not_a_test() {
        for check in ["src/table/radix.rs", "src/none.rs::it", "Cargo.toml::it"] {
            assert!(Test::parse(check, &files()).is_err(), "{check}");
        }
    }
}
