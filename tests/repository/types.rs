//! Check that public type names are unique over both crates.

use crate::layers::{files, root};
use crate::source::{code_of, words as words_of};
use std::collections::{BTreeMap, BTreeSet};

const KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "union", "type"];

/// Files that declare a name.
#[derive(Default)]
struct Declarations {
    public: BTreeSet<String>,
    private: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    name: String,
    is_public: bool,
}

/// Returns the declarations of types in `source`, without associated types.
fn declarations(source: &str) -> Vec<Declaration> {
    let code = code_of(source);
    code.lines().filter_map(declaration).collect()
}

fn declaration(line: &str) -> Option<Declaration> {
    let line_start = line.trim_start();
    let is_public = line_start.starts_with("pub ");
    let rest = match line_start.strip_prefix("pub(") {
        Some(rest) => rest.split_once(')')?.1,
        None => line_start,
    };
    let mut words = rest
        .split_whitespace()
        .skip_while(|word| matches!(*word, "pub" | "unsafe"));
    let keyword = words.next()?;
    let is_associated = keyword == "type" && line.starts_with(' ');
    (KEYWORDS.contains(&keyword) && !is_associated).then_some(())?;
    let name = words_of(words.next()?)
        .map(|(_, name)| name)
        .next()
        .filter(|name| name.starts_with(char::is_uppercase))?
        .to_owned();
    Some(Declaration { name, is_public })
}

/// Returns the public names that are declared in more than one file. One file may declare a name for each configuration.
fn repeated<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut found: BTreeMap<String, Declarations> = BTreeMap::new();
    for (path, source) in sources {
        for declaration in declarations(source) {
            let places = found.entry(declaration.name).or_default();
            let places = if declaration.is_public {
                &mut places.public
            } else {
                &mut places.private
            };
            places.insert(path.to_owned());
        }
    }
    let mut repeated = Vec::new();
    for (name, Declarations { public, private }) in found {
        if public.len() > 1 || !(public.is_empty() || private.is_empty()) {
            let places: Vec<_> = public.into_iter().chain(private).collect();
            repeated.push(format!("{name}: {}", places.join(", ")));
        }
    }
    repeated
}

#[test]
fn public_type_names_are_unique() {
    let sources: Vec<_> = ["src", "eventryd/src"]
        .iter()
        .flat_map(|folder| files(folder, &["rs"]))
        .map(|(path, text)| {
            let path = path.strip_prefix(root()).unwrap().display().to_string();
            (path, text)
        })
        .collect();
    let all = sources.iter().flat_map(|(_, text)| declarations(text));
    let count = all.filter(|declaration| declaration.is_public).count();
    assert!(count > 200, "only {count} public types were found");
    let sources = sources
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    assert_eq!(repeated(sources), [""; 0]);
}

#[test]
fn planted_repeated_type_names_are_found() {
    let public = ("a.rs", "pub struct Call<'a> {}\npub unsafe trait Send {}\n");
    let other = ("b.rs", "pub enum Call {}\n");
    let private = ("b.rs", "pub(in crate::b) type Call = u8;\n");
    assert_eq!(repeated([public, other]), ["Call: a.rs, b.rs"]);
    assert_eq!(repeated([public, private]), ["Call: a.rs, b.rs"]);
    assert_eq!(repeated([private, ("c.rs", private.1)]), [""; 0]);
    let associated = (
        "b.rs",
        "impl X {\n    type Call = u8;\n}\n// struct Call;\n",
    );
    assert_eq!(repeated([public, associated]), [""; 0]);
}
