//! The modules that have mutants, and the checks that must notice them.

use crate::layout;

/// Modules that are built and tested together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The library.
    Loop,
    /// The pure protocol layers of the daemon.
    Protocol,
}

pub(super) const GROUPS: [Group; 2] = [Group::Loop, Group::Protocol];

/// A module and its share of the record in `docs/mutants.md`.
#[derive(Debug, PartialEq)]
pub(super) struct Module {
    /// Name on the command line.
    pub(super) name: &'static str,
    pub(super) group: Group,
    /// Folders below the root of a checkout. The first that exists is the module's; the others are those of older
    /// commits.
    pub(super) folders: &'static [&'static str],
    /// Percentage of the viable mutants that must be caught.
    pub(super) floor: usize,
    /// Checks for what survives the tests of the group, in this order.
    pub(super) slow: &'static [&'static SlowCheck],
}

pub(super) const MODULES: &[Module] = &[
    Module {
        name: "table",
        group: Group::Loop,
        folders: &["src/table", "src/core"],
        floor: 95,
        slow: &[&UNITS, &SEQUENCES, &KERNEL, &SLEEP],
    },
    Module {
        name: "diagnostics",
        group: Group::Loop,
        folders: &["src/diagnostics"],
        floor: 95,
        slow: &[&UNITS, &KERNEL],
    },
    Module {
        name: "registry",
        group: Group::Loop,
        folders: &["src/registry"],
        floor: 95,
        slow: &[&UNITS, &KERNEL, &SLEEP, &MODELS],
    },
    Module {
        name: "event_loop",
        group: Group::Loop,
        folders: &["src/event_loop"],
        floor: 95,
        slow: &[&UNITS, &KERNEL, &SLEEP, &MODELS],
    },
    Module {
        name: "poller",
        group: Group::Loop,
        folders: &["src/poller"],
        floor: 85,
        slow: &[&UNITS, &KERNEL],
    },
    Module {
        name: "wire",
        group: Group::Protocol,
        folders: &["eventryd/src/wire", "src/wire"],
        floor: 85,
        slow: &[&PURE, &DAEMON],
    },
    Module {
        name: "session",
        group: Group::Protocol,
        folders: &["eventryd/src/session", "src/session"],
        floor: 85,
        slow: &[&PURE, &DAEMON],
    },
];

/// A check that takes longer than seconds.
#[derive(Debug, PartialEq)]
pub(super) struct SlowCheck {
    /// Directory below the root.
    pub(super) directory: &'static str,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Arguments of `cargo test`.
    pub(super) arguments: &'static [&'static str],
    /// Limit in seconds, the build included.
    pub(super) seconds: u64,
}

const SEQUENCES: SlowCheck = SlowCheck {
    directory: layout::VERIFICATION,
    environment: &[("EVENTRY_CASES", "400")],
    arguments: &["--release", "--test=properties"],
    seconds: 300,
};

const SLEEP: SlowCheck = SlowCheck {
    directory: layout::VERIFICATION,
    environment: &[],
    arguments: &["--release", "--test=sleep", "the_first_sequences_are_right"],
    seconds: 300,
};

const MODELS: SlowCheck = SlowCheck {
    directory: ".",
    environment: layout::LOOM_ENVIRONMENT,
    arguments: &["--release", "--package=eventry", "--test=loom"],
    seconds: 900,
};

const UNITS: SlowCheck = SlowCheck {
    directory: ".",
    environment: &[],
    arguments: &[
        "--package=eventry",
        "--no-default-features",
        "--features=capi",
        "--lib",
    ],
    seconds: 600,
};

const KERNEL: SlowCheck = SlowCheck {
    directory: ".",
    environment: &[],
    arguments: &[
        "--package=eventry",
        "--no-default-features",
        "--features=capi,tracing",
        "--test=event_loop",
        "--test=tracing",
        "--test=stop_from_signal",
        "--test=descriptor_limit",
        "--test=event_impl_default",
        "--test=event_impl_other",
        "--test=forked_child",
        "--test=stress",
    ],
    seconds: 300,
};

const PURE: SlowCheck = SlowCheck {
    directory: ".",
    environment: &[],
    arguments: &["--package=eventryd", "--lib", "--test=protocol"],
    seconds: 600,
};

const DAEMON: SlowCheck = SlowCheck {
    directory: ".",
    environment: &[],
    arguments: &[
        "--package=eventryd",
        "--test=process",
        "--test=shutdown_grace",
        "--test=server",
    ],
    seconds: 300,
};

impl Group {
    /// Name of the folder for what cargo-mutants writes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Group::Loop => "loop",
            Group::Protocol => "protocol",
        }
    }
}

impl Module {
    /// Compares a name on the command line with that of the module and those of its folders in older commits.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let folders = self.folders.iter();
        let mut folders = folders.filter_map(|folder| folder.rsplit('/').next());
        self.name == name || folders.any(|folder| folder == name)
    }
}

/// Module of a source file, if its mutants are counted.
pub(super) fn module_of(file: &str) -> Option<&'static Module> {
    MODULES
        .iter()
        .find(|module| module.folders.iter().any(|folder| is_below(file, folder)))
}

/// Returns true for a file in a folder or below it.
pub(super) fn is_below(file: &str, folder: &str) -> bool {
    let rest = file.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Names of all modules, for messages.
pub(super) fn names() -> String {
    let names: Vec<&str> = MODULES.iter().map(|module| module.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_of_knows_new_and_old_folders() {
        let name = |file| module_of(file).map(|module| module.name);
        assert_eq!(name("src/core/mod.rs"), Some("table"));
        assert_eq!(name("src/table/heap.rs"), Some("table"));
        assert_eq!(name("src/session/answer.rs"), Some("session"));
        assert_eq!(name("eventryd/src/session/a/b.rs"), Some("session"));
        assert_eq!(name("src/wired/mod.rs"), None);
        assert_eq!(name("src/wire"), None);
    }

    #[test]
    fn modules_have_the_names_of_older_commits_too() {
        let find = |name| MODULES.iter().find(|module| module.is_called(name));
        assert_eq!(find("core"), find("table"));
        assert_eq!(find("session").unwrap().name, "session");
        assert_eq!(find("src"), None);
    }
}
