//! Checks of the architecture: the layers of modules, the places of loom and unsafe code, and the length of files.

use crate::circles::circles;
use crate::source::{code_of, names_below, words};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A package of the workspace whose layers are checked.
struct Package {
    /// Crate name in its own programs, tests and examples.
    name: &'static str,
    /// Line in front of the table of its layers in `ARCHITECTURE.md`.
    heading: &'static str,
    /// Folder of its sources.
    folder: &'static str,
    /// Rank and modules of each layer. A module may use modules of lower rank only.
    layers: &'static [(u8, &'static [&'static str])],
    /// Modules that may have a `cfg` for loom.
    with_loom: &'static [&'static str],
}

const EVENTRY: Package = Package {
    name: "eventry",
    heading: "The library:",
    folder: "src",
    layers: &[
        (0, &["events", "id", "sync", "time"]),
        (1, &["table", "diagnostics"]),
        (2, &["poller"]),
        (3, &["registry"]),
        (4, &["event_loop"]),
        (5, &["event_impl"]),
        (6, &["capi"]),
    ],
    with_loom: &["lib", "poller", "registry", "event_loop"],
};

const EVENTRYD: Package = Package {
    name: "eventryd",
    heading: "The daemon, which uses the library's public interface:",
    folder: "eventryd/src",
    layers: &[
        (
            0,
            &[
                "file_kind",
                "kernel_files",
                "sync",
                "trusted_path",
                "whole_file",
            ],
        ),
        (1, &["admission", "auth", "output", "worker_pool", "wire"]),
        (2, &["session"]),
        (3, &["log", "net"]),
        (4, &["connection", "driver"]),
        (5, &["server"]),
        (6, &["config"]),
        (7, &["cli"]),
        (8, &["main"]),
    ],
    with_loom: &["lib", "main"],
};

const PACKAGES: [&Package; 2] = [&EVENTRY, &EVENTRYD];

/// Folders with code.
pub(crate) const FOLDERS: &[&str] = &[
    "src",
    "tests",
    "benches",
    "examples",
    "eventryd",
    "test-support",
    "verification",
    "fuzz/fuzz_targets",
    "xtask/src",
];

const LONGEST_FILE: usize = 500;

impl Package {
    fn rank_of(&self, module: &str) -> Option<u8> {
        let mut layers = self.layers.iter();
        let layer = layers.find(|(_, modules)| modules.contains(&module));
        layer.map(|(rank, _)| *rank)
    }
}

/// Returns the re-exports of the library's root: public name to module.
type Exports = BTreeMap<String, String>;

fn exports_of(package: &Package, lib: &str) -> Exports {
    let code = code_of(lib);
    let modules = package
        .layers
        .iter()
        .flat_map(|(_, modules)| modules.iter());
    modules
        .flat_map(|module| {
            let names = names_below(&code, module);
            names
                .into_iter()
                .map(|name| (name.to_owned(), (*module).to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the top-level module of a file below `src/`.
fn module_of(path: &Path) -> String {
    let first = path.components().next().expect("a path below src/");
    let first = Path::new(first.as_os_str());
    first.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Returns the modules that a source file uses against the layers.
fn upward_edges(package: &Package, path: &Path, source: &str, exports: &Exports) -> Vec<String> {
    let module = module_of(path);
    let Some(rank) = package.rank_of(&module) else {
        return vec![format!("{}: `{module}` is in no layer", path.display())];
    };
    let code = code_of(source);
    // One `super` for each folder, and one more for a file other than `mod.rs`.
    let nested = path.components().count() > 1;
    let depth = path.components().count() - usize::from(path.ends_with("mod.rs"));
    let up = vec!["super"; depth].join("::");
    let mut used = names_below(&code, "crate");
    used.extend(names_below(&code, package.name));
    if nested {
        let from_root = code.match_indices(&up).flat_map(|(at, _)| {
            let rest = &code[at..];
            names_below(&rest[up.len() - "super".len()..], "super")
                .into_iter()
                .take(1)
        });
        used.extend(from_root.filter(|name| package.rank_of(name).is_some()));
    }
    used.into_iter()
        .map(|name| exports.get(name).map_or(name, String::as_str))
        .filter(|used| *used != module)
        .filter(|used| package.rank_of(used).is_none_or(|below| below >= rank))
        .map(|used| format!("{}: `{module}` uses `{used}`", path.display()))
        .collect()
}

/// Returns the places that name `loom` outside `sync`, except a `cfg` in the modules that may have one.
fn loom_named_in(package: &Package, path: &Path, source: &str) -> Vec<String> {
    let module = module_of(path);
    if module == "sync" {
        return Vec::new();
    }
    let with_cfg = package.with_loom.contains(&module.as_str());
    let code = code_of(source);
    words(&code)
        .filter(|(_, word)| *word == "loom")
        .filter(|(at, _)| {
            let before = &code[..*at];
            let line = before.rsplit('\n').next().unwrap_or(before).trim_start();
            !(with_cfg && (line.starts_with("#[cfg(") || line.starts_with("#![cfg(")))
        })
        .map(|_| format!("{}: names loom", path.display()))
        .collect()
}

/// Returns the places outside `capi` that contain or allow unsafe code, and the unsafe blocks and implementations in
/// `capi` without a preceding `SAFETY:` line.
fn unsafe_in(package: &Package, path: &Path, source: &str) -> Vec<String> {
    let in_capi = package.name == "eventry" && path.starts_with("capi");
    let code = code_of(source);
    let allowed = code.lines().filter(|line| {
        line.contains("unsafe_code") && line.contains("allow(") && !path.ends_with("capi/mod.rs")
    });
    let found = words(&code)
        .filter(|(at, word)| *word == "unsafe" && !(in_capi && is_explained(&code, source, *at)));
    found
        .map(|_| format!("{}: unsafe", path.display()))
        .chain(allowed.map(|_| format!("{}: allows unsafe", path.display())))
        .collect()
}

/// Returns true if the `unsafe` at `at` has a `SAFETY:` line, or needs none: a function, the type of a function, a
/// block of declarations or an attribute.
fn is_explained(code: &str, source: &str, at: usize) -> bool {
    let after = code[at + "unsafe".len()..].trim_start();
    if after.starts_with("extern") || after.starts_with("fn") || after.starts_with("(no_mangle)") {
        return true;
    }
    let line = code[..at].matches('\n').count();
    let above: Vec<&str> = source.lines().take(line).collect();
    let comment = above.iter().rev();
    comment
        .take_while(|line| line.trim_start().starts_with("//"))
        .any(|line| line.contains("SAFETY:"))
}

/// Returns the marks of unfinished work and the paths of home directories in a file.
fn unwanted_words_in(path: &Path, text: &str) -> Vec<String> {
    ["FIXME", "XXX:", "TODO", "/home/"]
        .into_iter()
        .filter(|word| text.contains(word))
        .map(|word| format!("{}: contains {word:?}", path.display()))
        .collect()
}

fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines", path.display()))
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files with an extension below a folder of the repository, with their text; none without the folder.
pub(crate) fn files(folder: &str, kinds: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let kind = path.extension().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if kinds.contains(&&*kind) && path.is_file() {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// Returns the sources of a package, with their paths below its folder.
fn sources(package: &Package) -> Vec<(PathBuf, String)> {
    let below = root().join(package.folder);
    let sources: Vec<_> = files(package.folder, &["rs"])
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(&below).unwrap().to_owned(), text))
        .collect();
    assert!(sources.len() > 20, "too few sources were found");
    sources
}

#[test]
fn no_layer_uses_one_above_it() {
    for package in PACKAGES {
        let sources = sources(package);
        let mut files = sources.iter();
        let (_, lib) = files.find(|(path, _)| path.ends_with("lib.rs")).unwrap();
        let exports = exports_of(package, lib);
        let upward: Vec<String> = sources
            .iter()
            .filter(|(path, _)| !path.ends_with("lib.rs"))
            .flat_map(|(path, text)| upward_edges(package, path, text, &exports))
            .collect();
        assert_eq!(upward, [""; 0], "{}", package.name);
    }
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let exports = exports_of(&EVENTRY, &lib);
    assert_eq!(
        exports.get("EventLoop").map(String::as_str),
        Some("event_loop")
    );
}

/// Returns the modules with their ranks in the table after a line of `ARCHITECTURE.md`.
fn documented_layers(text: &str, heading: &str) -> BTreeSet<(u8, String)> {
    let lines = text.lines().skip_while(|line| *line != heading);
    let rows = lines
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let mut layers = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let rank: u8 = cells[1].parse().expect("the number of a layer");
        let modules = cells[2].split(", ").map(|module| module.trim_matches('`'));
        layers.extend(modules.map(|module| (rank, module.to_owned())));
    }
    layers
}

#[test]
fn architecture_lists_the_layers() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for package in PACKAGES {
        let mut layers = BTreeSet::new();
        for (rank, modules) in package.layers {
            layers.extend(modules.iter().map(|module| (*rank, (*module).to_owned())));
        }
        let documented = documented_layers(&text, package.heading);
        assert_eq!(documented, layers, "{}", package.name);
    }
}

#[test]
fn no_submodules_form_an_import_circle() {
    let found = circles(&sources(&EVENTRYD));
    assert_eq!(found, [""; 0], "eventryd");
}

#[test]
fn only_sync_names_loom_and_only_capi_is_unsafe() {
    for package in PACKAGES {
        let found: Vec<String> = sources(package)
            .iter()
            .flat_map(|(path, text)| {
                [
                    loom_named_in(package, path, text),
                    unsafe_in(package, path, text),
                ]
                .concat()
            })
            .collect();
        assert_eq!(found, [""; 0], "{}", package.name);
    }
}

/// Checks that the library does not name the daemon.
#[test]
fn the_library_does_not_name_the_wire_protocol() {
    let found: Vec<String> = sources(&EVENTRY)
        .iter()
        .flat_map(|(path, text)| {
            let code = code_of(text);
            let named = words(&code).filter(|(_, word)| {
                ["eventryd", "rpc", "xdr"].contains(&word.to_lowercase().as_str())
            });
            named
                .map(|(_, word)| format!("{}: {word}", path.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn no_file_is_too_long() {
    let sources = FOLDERS.iter().flat_map(|folder| files(folder, &["rs"]));
    let scripts = ["tests", "tools"].into_iter();
    let scripts = scripts.flat_map(|folder| files(folder, &["", "sh"]));
    let c = ["tests", "examples", "include"].into_iter();
    let c = c.flat_map(|folder| files(folder, &["c", "h"]));
    let found: Vec<String> = sources
        .chain(scripts)
        .chain(c)
        .filter_map(|(path, text)| too_long(&path, &text))
        .collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn nothing_tells_of_unfinished_work_or_of_one_machine() {
    let kinds = ["", "c", "h", "md", "rs", "sh", "toml"];
    let texts = FOLDERS.iter().chain(&["docs", ".ci", "include", "tools"]);
    let texts = texts.flat_map(|folder| files(folder, &kinds));
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "DESIGN.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let documents = documents.iter().filter_map(|name| {
        let path = root().join(name);
        Some((path.clone(), fs::read_to_string(path).ok()?))
    });
    let found: Vec<String> = texts
        .chain(documents)
        // This file contains the words.
        .filter(|(path, _)| !path.ends_with("tests/repository/layers.rs"))
        .flat_map(|(path, text)| unwanted_words_in(&path, &text))
        .collect();
    assert_eq!(found, [""; 0]);
}

// Tests of the checks, which must find planted faults.

#[test]
fn a_planted_upward_edge_is_found() {
    let exports = exports_of(
        &EVENTRY,
        "pub use event_loop::{EventLoop, RunError};\npub use id::HandleId;",
    );
    let edges = |path: &str, source: &str| {
        let package = if path.starts_with("session") {
            &EVENTRYD
        } else {
            &EVENTRY
        };
        upward_edges(package, Path::new(path), source, &exports).len()
    };
    for (path, source) in [
        ("table/mod.rs", "use crate::registry::Registry;"),
        (
            "table/mod.rs",
            "use crate::{\n    events::Events,\n    poller::Poller,\n};",
        ),
        ("table/turn.rs", "fn f() { crate::event_loop::g() }"),
        ("poller/model.rs", "use crate::EventLoop;"),
        ("poller/mod.rs", "use super::registry::Registry;"),
        ("poller/model.rs", "use super::super::{registry::Registry};"),
        ("session/mod.rs", "use crate::{wire::Xdr, net::Peer};"),
        ("session/mod.rs", "use eventryd::server::run;"),
        ("id.rs", "use crate::events::Events;"),
        ("somewhere/mod.rs", ""),
    ] {
        assert_eq!(edges(path, source), 1, "{path}: {source}");
    }
    for (path, source) in [
        (
            "table/mod.rs",
            "//! [`Registry`](crate::registry::Registry)\nuse crate::{events::Events, HandleId};",
        ),
        (
            "table/turn.rs",
            "use super::{Table, Freed}; use crate::table::lifecycle::Lifecycle;",
        ),
        (
            "registry/handle.rs",
            "mod inner { use super::*; use crate::poller::MioPoller; }",
        ),
        (
            "session/mod.rs",
            "use eventry::EventLoop; use crate::wire::Xdr; use eventryd::auth::Nonce;",
        ),
    ] {
        assert_eq!(edges(path, source), 0, "{path}: {source}");
    }
}

#[test]
fn a_planted_mention_of_loom_or_unsafe_is_found() {
    let loom = |path: &str, source: &str| loom_named_in(&EVENTRY, Path::new(path), source).len();
    assert_eq!(loom("table/mod.rs", "#[cfg(loom)]\nuse loom::sync;"), 2);
    assert_eq!(loom("registry/mod.rs", "use loom::sync::Arc;"), 1);
    assert_eq!(
        loom("registry/mod.rs", "// loom\n#[cfg(not(loom))]\nmod m {}"),
        0
    );
    assert_eq!(loom("sync.rs", "use loom::sync as imp;"), 0);
    let path = Path::new("table/mod.rs");
    assert_eq!(
        unsafe_in(&EVENTRY, path, "fn f() { unsafe { g() } }").len(),
        1
    );
    assert_eq!(
        unsafe_in(&EVENTRY, path, "// unsafe\n#![forbid(unsafe_code)]").len(),
        0
    );
    assert_eq!(unsafe_in(&EVENTRY, path, "#![allow(unsafe_code)]").len(), 1);
    let block = "// SAFETY: it is.\nlet it = unsafe { g() };";
    assert_eq!(unsafe_in(&EVENTRY, path, block).len(), 1);
    let capi = Path::new("capi/mod.rs");
    let said = "#![allow(unsafe_code)]\n#[unsafe(no_mangle)]\nunsafe extern \"C\" fn f() {}\n";
    assert_eq!(
        unsafe_in(&EVENTRY, capi, &format!("{said}{block}")).len(),
        0
    );
    assert_eq!(
        unsafe_in(&EVENTRY, capi, "// Safe.\nlet it = unsafe { g() };").len(),
        1
    );
    assert_eq!(
        unsafe_in(&EVENTRY, capi, "unsafe impl Send for It {}").len(),
        1
    );
}

#[test]
fn a_planted_long_file_or_unwanted_word_is_found() {
    let path = Path::new("table/mod.rs");
    assert!(too_long(path, &"\n".repeat(LONGEST_FILE + 1)).is_some());
    assert!(too_long(path, &"\n".repeat(LONGEST_FILE)).is_none());
    assert_eq!(unwanted_words_in(path, "// TODO: in /home/me").len(), 2);
    assert_eq!(unwanted_words_in(path, "// done").len(), 0);
}
