//! The list of defects.

use crate::layout;
use crate::tree::TextChange;
use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Content of `verification/defects.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defects {
    /// Changes of the copy without a switch.
    pub(super) setup: Vec<Setup>,
    /// Defects, in the order of the file.
    #[serde(rename = "defect")]
    pub(crate) all: Vec<Defect>,
}

/// A change of the copy without a switch.
#[derive(Debug, Deserialize)]
pub(super) struct Setup {
    /// Reason for the change.
    #[serde(rename = "reason")]
    _reason: String,
    #[serde(flatten)]
    pub(super) change: TextChange,
}

/// A mistake in the code, and the checks that must catch it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defect {
    pub(crate) name: String,
    pub(super) description: String,
    /// Whether the tests of the loop notice it only if the scheduler lets two threads meet.
    #[serde(default)]
    pub(super) depends_on_schedule: bool,
    /// Checks that must catch it.
    pub(crate) checks: Vec<Check>,
    #[serde(rename = "change")]
    pub(super) changes: Vec<TextChange>,
}

/// A check that must fail with the defect.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "engine", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Check {
    /// The search finds this rule broken.
    Search { rule: String },
    /// A generated sequence finds this rule broken.
    Sequences { rule: String },
    /// This loom model fails with this text.
    Loom { model: String, says: String },
    /// This test of the loop fails.
    EventLoop { test: String },
    /// This test of the daemon fails: a test program of its package, and the path of the test in it.
    Daemon { test: String },
}

impl Defects {
    pub(crate) fn parse(text: &str) -> Result<Defects> {
        toml::from_str(text).with_context(|| format!("cannot read {}", layout::DEFECTS))
    }

    /// Finds the defects with these names, or all if there are none, each with its place in the list.
    pub(super) fn select(&self, names: &[String]) -> Result<Vec<(usize, &Defect)>> {
        for name in names {
            if !self.all.iter().any(|defect| defect.name == *name) {
                bail!("there is no defect {name:?} in {}", layout::DEFECTS);
            }
        }
        let all = self.all.iter().enumerate();
        Ok(all
            .filter(|(_, defect)| names.is_empty() || names.contains(&defect.name))
            .collect())
    }
}

impl Defect {
    /// Returns `true` for a defect of the table's logic, which the engines of the table must catch.
    pub(super) fn is_of_the_table(&self) -> bool {
        self.checks
            .iter()
            .any(|check| matches!(check, Check::Search { .. } | Check::Sequences { .. }))
    }

    /// Returns `true` for a defect of the daemon, for which the engines of the library are not run.
    pub(super) fn is_of_the_daemon(&self) -> bool {
        self.tests_of_the_daemon().next().is_some()
    }

    /// Tests of the daemon that must fail.
    pub(super) fn tests_of_the_daemon(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter_map(|check| match check {
            Check::Daemon { test } => Some(&**test),
            _ => None,
        })
    }
}
