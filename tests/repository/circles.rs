//! Import circles between the submodules of a module, at any depth.
//!
//! The layers do not cover the files within one module. Here the children of every module form a graph: an edge leads
//! from one child to another if any file below the first names an item of a file below the second. A parent and its
//! own children are one unit. Names are resolved through `pub use`, so that `super::Config` leads to the file that
//! defines `Config`.

use crate::source::{code_of, words};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module, as the names from the root of the crate.
type ModulePath = Vec<String>;

/// The modules of a package, with the names that each defines and re-exports.
struct Modules(BTreeMap<ModulePath, Module>);

struct Module {
    code: String,
    defined: BTreeSet<String>,
    /// Path of each re-exported name.
    reexports: BTreeMap<String, ModulePath>,
    /// Modules of which all names are re-exported.
    globs: Vec<ModulePath>,
}

/// Returns the circles, each as the module that contains it and the children that reach themselves.
pub(crate) fn circles(sources: &[(PathBuf, String)]) -> Vec<String> {
    let modules = Modules::read(sources);
    let mut graphs: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, module) in &modules.0 {
        for target in modules.targets(from, &module.code) {
            let same = from.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(child), Some(other)) = (from.get(same), target.get(same)) {
                let graph = graphs.entry(from[..same].to_vec()).or_default();
                graph
                    .entry(child.clone())
                    .or_default()
                    .insert(other.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (parent, graph) in &graphs {
        let on_circle: Vec<&str> = graph
            .keys()
            .filter(|child| reachable(graph, child).contains(child.as_str()))
            .map(String::as_str)
            .collect();
        if !on_circle.is_empty() {
            found.push(format!("{}: {}", parent.join("::"), on_circle.join(", ")));
        }
    }
    found
}

fn reachable<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = graph
        .get(from)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(graph.get(module).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

/// Returns the module of a file; `None` for the root of a program.
fn module_of(path: &Path) -> Option<ModulePath> {
    let mut names: ModulePath = path
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    match names.last().map(String::as_str) {
        Some("mod" | "lib") => drop(names.pop()),
        Some("main") => return None,
        _ => {}
    }
    Some(names)
}

impl Modules {
    fn read(sources: &[(PathBuf, String)]) -> Modules {
        let mut modules = BTreeMap::new();
        for (path, text) in sources {
            if let Some(name) = module_of(path) {
                let code = code_of(text);
                let defined = defined_in(&code);
                let (reexports, globs) = Default::default();
                let module = Module {
                    code,
                    defined,
                    reexports,
                    globs,
                };
                modules.insert(name, module);
            }
        }
        let names: BTreeSet<ModulePath> = modules.keys().cloned().collect();
        for (name, module) in &mut modules {
            for path in used_in(&module.code) {
                let Some(path) = absolute(name, &path, &names) else {
                    continue;
                };
                match path.split_last() {
                    Some((last, parent)) if last == "*" => module.globs.push(parent.to_vec()),
                    Some((last, _)) => drop(module.reexports.insert(last.clone(), path.clone())),
                    None => {}
                }
            }
        }
        Modules(modules)
    }

    /// Returns the modules that the code of the module `from` names.
    fn targets(&self, from: &ModulePath, code: &str) -> BTreeSet<ModulePath> {
        let inline = inline_modules(code);
        let mut targets = BTreeSet::new();
        for (at, _) in words(code).filter(|(_, word)| is_root(word)) {
            if code[..at].trim_end().ends_with("::") {
                continue;
            }
            let inside = inline
                .iter()
                .filter(|(begin, end, _)| (*begin..*end).contains(&at));
            let mut here = from.clone();
            here.extend(inside.map(|(.., name)| name.clone()));
            for path in paths_at(&code[at..]) {
                if let Some(path) = absolute(&here, &path, &BTreeSet::new()) {
                    targets.insert(self.resolve(&path, 0));
                }
            }
        }
        targets
    }

    /// Returns the module that defines the item at this path.
    fn resolve(&self, path: &[String], depth: usize) -> ModulePath {
        let known = (0..=path.len()).rev();
        let known = known.map(|length| path[..length].to_vec());
        let module = known.into_iter().find(|name| self.0.contains_key(name));
        let module = module.unwrap_or_default();
        let (Some(item), Some(contents)) = (path.get(module.len()), self.0.get(&module)) else {
            return module;
        };
        if contents.defined.contains(item) || depth > 4 {
            return module;
        }
        if let Some(target) = contents.reexports.get(item) {
            return self.resolve(target, depth + 1);
        }
        let defines = |glob: &&ModulePath| {
            self.0
                .get(*glob)
                .is_some_and(|it| it.defined.contains(item))
        };
        let glob = contents.globs.iter().find(defines);
        glob.cloned().unwrap_or(module)
    }
}

fn is_root(word: &str) -> bool {
    matches!(word, "crate" | "self" | "super")
}

/// Makes a path absolute; `None` if it does not begin in this crate. A first name that is a child of `here` counts
/// as such.
fn absolute(
    here: &[String],
    path: &[String],
    modules: &BTreeSet<ModulePath>,
) -> Option<ModulePath> {
    let (first, mut rest) = path.split_first()?;
    let mut base = here.to_vec();
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => drop(base.pop()?),
        _ => {
            base.push(first.clone());
            if !modules.contains(&base) {
                return None;
            }
        }
    }
    while rest.first().is_some_and(|name| name == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// Returns the names of the items that the code defines.
fn defined_in(code: &str) -> BTreeSet<String> {
    let mut before = "";
    let mut names = BTreeSet::new();
    for (_, word) in words(code) {
        if matches!(
            before,
            "struct" | "enum" | "trait" | "fn" | "const" | "static" | "type" | "macro_rules"
        ) {
            names.insert(word.to_owned());
        }
        before = word;
    }
    names
}

/// Returns the paths of all `use` declarations.
fn used_in(code: &str) -> Vec<ModulePath> {
    let uses = words(code).filter(|(_, word)| *word == "use");
    uses.flat_map(|(at, word)| paths_at(&code[at + word.len()..]))
        .collect()
}

/// Returns start, end and name of each inline module.
fn inline_modules(code: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    for (at, word) in words(code).filter(|(_, word)| *word == "mod") {
        let rest = &code[at + word.len()..];
        let Some((name, after)) = name_at(rest) else {
            continue;
        };
        if !after.trim_start().starts_with('{') {
            continue;
        }
        let begin = code.len() - after.len();
        let mut depth = 0;
        let end = code[begin..].char_indices().find(|(_, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            *c == '}' && depth == 0
        });
        let end = end.map_or(code.len(), |(length, _)| begin + length);
        found.push((begin, end, name.to_owned()));
    }
    found
}

/// Returns the name or `*` at the beginning of the code, and the code behind it.
fn name_at(code: &str) -> Option<(&str, &str)> {
    let code = code.trim_start();
    if let Some(rest) = code.strip_prefix('*') {
        return Some(("*", rest));
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = code.find(|c| !is_word(c)).unwrap_or(code.len());
    (length > 0).then(|| code.split_at(length))
}

/// Returns the paths at the beginning of the code; a group `{…}` has several.
fn paths_at(code: &str) -> Vec<ModulePath> {
    let code = code.trim_start();
    if code.starts_with('{') {
        return group_at(code).into_iter().flat_map(paths_at).collect();
    }
    let Some((name, rest)) = name_at(code) else {
        return vec![Vec::new()];
    };
    let Some(rest) = rest.trim_start().strip_prefix("::") else {
        return vec![vec![name.to_owned()]];
    };
    let below = paths_at(rest).into_iter();
    below
        .map(|below| [vec![name.to_owned()], below].concat())
        .collect()
}

/// Returns the members of the group at the beginning of the code.
fn group_at(code: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut begin) = (0, 1);
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            let member = &code[begin..at];
            if !member.trim().is_empty() {
                members.push(member);
            }
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_in(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect();
        circles(&sources)
    }

    #[test]
    fn circle_of_three_siblings_is_found() {
        let found = circles_in(&[
            (
                "server/mod.rs",
                "mod client; mod hub; mod gate; pub use gate::Gate;",
            ),
            ("server/client.rs", "use super::hub::Hub; struct Client;"),
            ("server/hub/mod.rs", "mod places; struct Hub;"),
            ("server/hub/places.rs", "fn f(gate: crate::server::Gate) {}"),
            (
                "server/gate.rs",
                "use super::client::{Other, Client}; pub struct Gate;",
            ),
        ]);
        assert_eq!(found, ["server: client, gate, hub"]);
    }

    #[test]
    fn circle_through_a_reexport_of_all_names_is_found() {
        let found = circles_in(&[
            ("a/mod.rs", "pub use types::*;"),
            ("a/types.rs", "use super::error::Error; pub struct Kind;"),
            ("a/error.rs", "use super::Kind; pub struct Error;"),
        ]);
        assert_eq!(found, ["a: error, types"]);
    }

    #[test]
    fn parents_tests_and_one_way_uses_are_no_circle() {
        let found = circles_in(&[
            ("lib.rs", "pub mod a; pub mod b;"),
            ("a/mod.rs", "mod inner; use inner::Inner; pub struct A;"),
            (
                "a/inner.rs",
                "use super::A; pub struct Inner; mod tests { use super::*; use super::super::A; }",
            ),
            ("b/mod.rs", "use crate::a::A;\nmod tests { use super::*; }"),
        ]);
        assert_eq!(found, [""; 0]);
    }
}
