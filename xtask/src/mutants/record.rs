//! The record of the last full run, `docs/mutants.md`.

use crate::layout;
use anyhow::{Context, Result};
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;

/// Content of the record.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    /// Commit of the last full run.
    pub(super) commit: String,
    /// Names of the survivors, each with its reason in the document.
    pub(super) survivors: BTreeSet<String>,
}

impl Record {
    pub(super) fn read() -> Result<Record> {
        let path = layout::root().join(layout::MUTANTS);
        let text = fs::read_to_string(&path);
        Record::parse(&text.with_context(|| format!("cannot read {}", layout::MUTANTS))?)
    }

    fn parse(text: &str) -> Result<Record> {
        let commit = Regex::new("`([0-9a-f]{40})`")?;
        let commit = commit.captures(text);
        let commit = commit.with_context(|| format!("{} names no commit", layout::MUTANTS))?;
        // A bar in a cell of a table is escaped.
        let survivor = Regex::new(r"(?m)^\| `((?:eventryd/)?src/[^`]*)` \|")?;
        let survivors = survivor.captures_iter(text);
        Ok(Record {
            commit: commit[1].to_owned(),
            survivors: survivors.map(|row| row[1].replace(r"\|", "|")).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_finds_commit_and_survivors() {
        let text = r"Of the commit `5d2822cc4077f2c87ae8b595b6473a2f6be6947f`.

| survivor | reason |
|---|---|
| `src/registry/mod.rs: replace && with \|\| in call_is_over` | it looks again |
| `eventryd/src/wire/xdr.rs: replace decode with Ok(())` | the same value |
| `table` | 68 |
";
        let record = Record::parse(text).unwrap();
        assert!(record.commit.starts_with("5d2822c"));
        let survivors: Vec<&str> = record.survivors.iter().map(String::as_str).collect();
        assert_eq!(
            survivors,
            [
                "eventryd/src/wire/xdr.rs: replace decode with Ok(())",
                "src/registry/mod.rs: replace && with || in call_is_over"
            ]
        );
    }

    #[test]
    fn parse_rejects_a_record_without_commit() {
        let error = Record::parse("`5d2822c`").unwrap_err();
        assert_eq!(error.to_string(), "docs/mutants.md names no commit");
    }
}
