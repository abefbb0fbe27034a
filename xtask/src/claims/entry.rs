//! The entries of `verification/claims.toml`.

use crate::defects::{Check, Defects};
use crate::layout;
use crate::tree::{self, Files, TextChange};
use anyhow::{Context, Result};
use serde::Deserialize;

/// A claim, and what breaks it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) claim: String,
    pub(super) kind: Kind,
}

/// Change that breaks a claim, and the test that must notice.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Kind {
    /// A text change.
    Change {
        /// Description of the mistake.
        #[serde(rename = "what")]
        _what: String,
        #[serde(flatten)]
        change: TextChange,
        check: String,
        /// Text of the compiler, if the test must not compile.
        compiler: Option<String>,
    },
    /// A defect of the list of defects.
    Defect {
        defect: String,
        check: String,
        /// The loom model, if the check is one. `cargo xtask defects` runs it.
        model: Option<String>,
    },
    /// A mutant that the recorded run caught.
    Mutant { mutant: String, check: String },
    /// Reason why no change can break the claim.
    Reason { reason: String },
}

/// Reads the entries, in the order of their claims.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>> {
    let table: toml::Table = text.parse()?;
    let mut entries = Vec::new();
    for (claim, value) in table {
        let kind = value.try_into().with_context(|| {
            format!(
                "{}: {claim} has neither `what`, `file`, `find`, `replace` and `check`, nor `defect` and \
                 `check`, nor `mutant` and `check`, nor `reason`",
                layout::CLAIMS
            )
        })?;
        entries.push(Entry { claim, kind });
    }
    entries.sort_by_key(|entry| number(&entry.claim));
    Ok(entries)
}

/// Number of a claim `EV-n`.
fn number(claim: &str) -> u32 {
    let number = claim
        .strip_prefix("EV-")
        .and_then(|number| number.parse().ok());
    number.unwrap_or_default()
}

impl Entry {
    /// Faults that can be found without a build.
    pub(super) fn faults(&self, files: &Files, defects: &Defects) -> Vec<String> {
        let claim = &self.claim;
        let mut faults = Vec::new();
        if number(claim) == 0 {
            faults.push(format!("{claim} is not a claim EV-n"));
        }
        match &self.kind {
            Kind::Change { change, .. } => {
                let applied = tree::text(files, &change.file)
                    .and_then(|text| tree::change_file(text, [(&*change.find, String::new())]));
                if let Err(error) = applied {
                    faults.push(format!("{claim}: {}: {error:#}", change.file));
                }
            }
            Kind::Defect {
                defect,
                check,
                model,
            } => {
                let found = defects.all.iter().find(|known| known.name == *defect);
                let is_named = |model: &str| {
                    let mut checks = found.iter().flat_map(|defect| &defect.checks);
                    checks.any(
                        |check| matches!(check, Check::Loom { model: named, .. } if named == model),
                    )
                };
                if found.is_none() {
                    faults.push(format!("{claim}: there is no defect {defect}"));
                }
                match model {
                    Some(model) if !is_named(model) => {
                        faults.push(format!("{claim}: {model} is no check of {defect}"));
                    }
                    None if check.starts_with(layout::VERIFICATION) => {
                        faults.push(format!("{claim}: the loom model of {check} is missing"));
                    }
                    _ => {}
                }
            }
            Kind::Mutant { .. } | Kind::Reason { .. } => {}
        }
        faults
    }
}
