//! Copies of the source tree, and changes of the text of their files.

use crate::process::output_of;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// Files of a tree by their path relative to its root.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A text that occurs exactly once in a file, and its replacement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextChange {
    /// Path relative to the root of the tree.
    pub(crate) file: String,
    /// Text to find.
    pub(crate) find: String,
    /// Text in its place.
    pub(crate) replace: String,
}

/// Reads the files of the work tree at `root` that git tracks or does not ignore.
pub(crate) fn read(root: &Path) -> Result<Files> {
    let listed = output_of(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files = Files::new();
    for name in listed.split_terminator('\0') {
        match fs::read(root.join(name)) {
            Ok(content) => {
                files.insert(name.to_owned(), content);
            }
            // Tracked, but deleted in the work tree; a link to a directory, whose files are not of this tree.
            Err(error) if is_no_file(error.kind()) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        }
    }
    Ok(files)
}

fn is_no_file(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::IsADirectory)
}

/// Makes `directory` a tree of exactly these files. A file that is as it should be is left alone, so that
/// cargo does not build it again.
pub(crate) fn write(files: &Files, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    remove_others(files, directory, "")?;
    for (name, content) in files {
        let path = directory.join(name);
        if fs::read(&path).is_ok_and(|present| present == *content) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Removes what is below `prefix` of `directory` and not among the files.
fn remove_others(files: &Files, directory: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(directory.join(prefix))? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            remove_others(files, directory, &format!("{name}/"))?;
        } else if !files.contains_key(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes all changes of one file at once. Each text is looked up in the original.
pub(crate) fn change_file<'a>(
    original: &str,
    changes: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<String> {
    let mut places = Vec::new();
    for (find, replacement) in changes {
        places.push((position(original, find)?, find, replacement));
    }
    places.sort_unstable();
    let mut changed = String::new();
    let mut done = 0;
    for (at, find, replacement) in places {
        if at < done {
            bail!("two changes overlap at {find:?}");
        }
        changed.push_str(&original[done..at]);
        changed.push_str(&replacement);
        done = at + find.len();
    }
    changed.push_str(&original[done..]);
    Ok(changed)
}

/// Position of a text that occurs exactly once.
fn position(text: &str, find: &str) -> Result<usize> {
    let mut found = text.match_indices(find);
    match (found.next(), found.next()) {
        (Some((at, _)), None) if !find.is_empty() => Ok(at),
        (None, _) => bail!("does not contain {find:?}"),
        _ => bail!("contains {find:?} more than once"),
    }
}

/// Text of a file of the tree.
pub(crate) fn text<'a>(files: &'a Files, name: &str) -> Result<&'a str> {
    let content = files.get(name);
    let content = content.with_context(|| format!("there is no file {name}"))?;
    std::str::from_utf8(content).with_context(|| format!("{name} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(original: &str, changes: &[(&str, &str)]) -> Result<String> {
        let changes = changes.iter();
        change_file(
            original,
            changes.map(|(find, replacement)| (*find, (*replacement).to_owned())),
        )
    }

    #[test]
    fn change_file_applies_all_to_the_original() {
        // The first replacement contains the second text.
        let changed = change("a b c", &[("c", "d"), ("a", "b")]);
        assert_eq!(changed.unwrap(), "b b d");
    }

    #[test]
    fn change_file_rejects_missing_repeated_and_overlapping() {
        let error = |changes: &[(&str, &str)]| change("abc bd", changes).unwrap_err().to_string();
        assert_eq!(error(&[("x", "")]), r#"does not contain "x""#);
        assert_eq!(error(&[("b", "")]), r#"contains "b" more than once"#);
        assert_eq!(error(&[("", "x")]), r#"contains "" more than once"#);
        assert_eq!(
            error(&[("ab", ""), ("bc", "")]),
            r#"two changes overlap at "bc""#
        );
    }

    #[test]
    fn read_leaves_out_a_link_to_a_directory() {
        let root = crate::layout::output("xtask-tests").join("tree");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::write(root.join("folder/file"), "text").unwrap();
        std::os::unix::fs::symlink("folder", root.join("link")).unwrap();
        output_of(Command::new("git").arg("init").arg("--quiet").arg(&root)).unwrap();
        let files = read(&root).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["folder/file"]);
        fs::remove_dir_all(root).unwrap();
    }
}
