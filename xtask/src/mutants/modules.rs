//! The modules that have mutants, and the checks that must notice them.

use crate::layout;

/// The package of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The library.
    Loop,
    /// The daemon.
    Daemon,
}

pub(super) const GROUPS: [Group; 2] = [Group::Loop, Group::Daemon];

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
    /// Test programs that take seconds, besides the tests in the package's own sources.
    pub(super) quick: &'static [&'static str],
    /// Checks for what survives these tests, in this order.
    pub(super) slow: &'static [&'static SlowCheck],
}

pub(super) const MODULES: &[Module] = &[
    Module {
        name: "table",
        group: Group::Loop,
        folders: &["src/table", "src/core"],
        floor: 95,
        quick: &["event_loop"],
        slow: &[&UNITS, &SEQUENCES, &KERNEL, &SLEEP],
    },
    Module {
        name: "diagnostics",
        group: Group::Loop,
        folders: &["src/diagnostics"],
        floor: 95,
        quick: &["event_loop"],
        slow: &[&UNITS, &KERNEL],
    },
    Module {
        name: "registry",
        group: Group::Loop,
        folders: &["src/registry"],
        floor: 95,
        quick: &["event_loop"],
        slow: &[&UNITS, &KERNEL, &SLEEP, &MODELS],
    },
    Module {
        name: "event_loop",
        group: Group::Loop,
        folders: &["src/event_loop"],
        floor: 95,
        quick: &["event_loop"],
        slow: &[&UNITS, &KERNEL, &SLEEP, &MODELS],
    },
    Module {
        name: "poller",
        group: Group::Loop,
        folders: &["src/poller"],
        floor: 85,
        quick: &["event_loop"],
        slow: &[&UNITS, &KERNEL],
    },
    Module {
        name: "event_impl",
        group: Group::Loop,
        folders: &["src/event_impl"],
        floor: 90,
        quick: &["event_impl_default", "event_impl_other", "forked_child"],
        slow: &[&UNITS, &KERNEL, &C_PROGRAMS],
    },
    Module {
        name: "capi",
        group: Group::Loop,
        folders: &["src/capi"],
        floor: 90,
        quick: &["capi_panic", "forked_child"],
        slow: &[&UNITS, &KERNEL, &C_PROGRAMS],
    },
    Module {
        name: "wire",
        group: Group::Daemon,
        folders: &["eventryd/src/wire", "src/wire"],
        floor: 85,
        quick: &["protocol"],
        slow: &[&PURE, &DAEMON],
    },
    Module {
        name: "session",
        group: Group::Daemon,
        folders: &["eventryd/src/session", "src/session"],
        floor: 85,
        quick: &["protocol"],
        slow: &[&PURE, &DAEMON],
    },
    Module {
        name: "server",
        group: Group::Daemon,
        folders: &["eventryd/src/server"],
        floor: 90,
        quick: &["process", "server", "shutdown_grace", "signal_phases"],
        slow: &[
            &DAEMON,
            &AUTH,
            &CONFIG,
            &NETWORK,
            &SIMULATOR,
            &ROBUSTNESS,
            &ACCEPTANCE,
        ],
    },
    Module {
        name: "connection",
        group: Group::Daemon,
        folders: &["eventryd/src/connection"],
        floor: 90,
        quick: &["process", "server"],
        slow: &[&DAEMON, &NETWORK, &SIMULATOR, &ROBUSTNESS, &ACCEPTANCE],
    },
    Module {
        name: "admission",
        group: Group::Daemon,
        folders: &["eventryd/src/admission"],
        floor: 90,
        quick: &["admission", "process"],
        slow: &[&DAEMON, &SIMULATOR, &ROBUSTNESS],
    },
    Module {
        name: "worker_pool",
        group: Group::Daemon,
        folders: &["eventryd/src/worker_pool"],
        floor: 90,
        quick: &["server"],
        slow: &[&DAEMON, &SIMULATOR, &DAEMON_MODELS],
    },
    Module {
        name: "net",
        group: Group::Daemon,
        folders: &["eventryd/src/net"],
        floor: 90,
        quick: &["process", "network"],
        slow: &[&DAEMON, &NETWORK, &ACCEPTANCE],
    },
    Module {
        name: "tls",
        group: Group::Daemon,
        folders: &["eventryd/src/net/tls"],
        floor: 90,
        quick: &["network"],
        slow: &[&NETWORK, &PURE, &ACCEPTANCE],
    },
    Module {
        name: "auth",
        group: Group::Daemon,
        folders: &["eventryd/src/auth"],
        floor: 90,
        quick: &["auth"],
        slow: &[&AUTH, &PURE, &ACCEPTANCE],
    },
    Module {
        name: "config",
        group: Group::Daemon,
        folders: &["eventryd/src/config"],
        floor: 90,
        quick: &["config"],
        slow: &[&CONFIG, &ROBUSTNESS, &ACCEPTANCE],
    },
    Module {
        name: "log",
        group: Group::Daemon,
        folders: &["eventryd/src/log"],
        floor: 90,
        quick: &["process", "config", "panic_log"],
        slow: &[&LOG, &DAEMON, &CONFIG, &ACCEPTANCE],
    },
    Module {
        name: "cli",
        group: Group::Daemon,
        folders: &["eventryd/src/cli"],
        floor: 90,
        quick: &["process", "config"],
        slow: &[&DAEMON, &LOG, &NETWORK, &AUTH, &CONFIG, &ACCEPTANCE],
    },
];

/// A check that takes longer than seconds.
#[derive(Debug, PartialEq)]
pub(super) struct SlowCheck {
    /// Directory below the root.
    pub(super) directory: &'static str,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Program and its first arguments.
    pub(super) program: &'static [&'static str],
    pub(super) arguments: &'static [&'static str],
    /// Limit in seconds, the build included.
    pub(super) seconds: u64,
}

const CARGO_TEST: &[&str] = &["cargo", "test"];

const SEQUENCES: SlowCheck = SlowCheck {
    directory: layout::VERIFICATION,
    environment: &[("EVENTRY_CASES", "400")],
    program: CARGO_TEST,
    arguments: &["--release", "--test=properties"],
    seconds: 300,
};

const SLEEP: SlowCheck = SlowCheck {
    directory: layout::VERIFICATION,
    environment: &[],
    program: CARGO_TEST,
    arguments: &["--release", "--test=sleep", "the_first_sequences_are_right"],
    seconds: 300,
};

const MODELS: SlowCheck = SlowCheck {
    directory: ".",
    environment: layout::LOOM_ENVIRONMENT,
    program: CARGO_TEST,
    arguments: &["--release", "--package=eventry", "--test=loom"],
    seconds: 900,
};

const UNITS: SlowCheck = SlowCheck {
    directory: ".",
    environment: &[],
    program: CARGO_TEST,
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
    program: CARGO_TEST,
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
    program: CARGO_TEST,
    arguments: &["--package=eventryd", "--lib", "--test=protocol"],
    seconds: 600,
};

const DAEMON: SlowCheck = of_daemon(
    &[
        "--package=eventryd",
        "--test=process",
        "--test=shutdown_grace",
        "--test=signal_phases",
        "--test=server",
        "--test=admission",
    ],
    300,
);

const LOG: SlowCheck = of_daemon(
    &[
        "--package=eventryd",
        "--test=outputs",
        "--test=log_sockets",
        "--test=panic_log",
    ],
    300,
);

const AUTH: SlowCheck = of_daemon(&["--package=eventryd", "--test=auth"], 300);

const CONFIG: SlowCheck = of_daemon(&["--package=eventryd", "--test=config", "--bins"], 300);

const NETWORK: SlowCheck = of_daemon(&["--package=eventryd", "--test=network"], 300);

const ROBUSTNESS: SlowCheck = of_daemon(&["--package=eventryd", "--test=robustness"], 300);

/// Needs virsh, certtool and openssl. Debian's own configuration, which has to be downloaded, is left out.
const ACCEPTANCE: SlowCheck = of_daemon(
    &[
        "--package=eventryd",
        "--test=acceptance",
        "--",
        "--skip=stock_config",
    ],
    600,
);

const SIMULATOR: SlowCheck = SlowCheck {
    environment: &[("EVENTRY_SEEDS", "1000")],
    ..of_daemon(&["--package=eventryd", "--test=simulator"], 600)
};

const DAEMON_MODELS: SlowCheck = SlowCheck {
    environment: layout::LOOM_ENVIRONMENT,
    ..of_daemon(&["--release", "--package=eventryd", "--test=loom"], 900)
};

/// Needs a C compiler, libvirt and valgrind.
const C_PROGRAMS: SlowCheck = SlowCheck {
    directory: ".",
    environment: &[],
    program: &["bash", layout::RUN, "--alone"],
    arguments: &["capi"],
    seconds: 1800,
};

const fn of_daemon(arguments: &'static [&'static str], seconds: u64) -> SlowCheck {
    SlowCheck {
        directory: ".",
        environment: &[],
        program: CARGO_TEST,
        arguments,
        seconds,
    }
}

impl Group {
    /// Default of `EVENTRY_MUTANTS_MAX`: what two cores test in a minute or so.
    pub(super) fn max(self) -> usize {
        match self {
            Group::Loop => 5,
            Group::Daemon => 4,
        }
    }

    /// Test programs that take seconds, for code of no module.
    pub(super) fn quick(self) -> &'static [&'static str] {
        match self {
            Group::Loop => &["event_loop"],
            Group::Daemon => &["process"],
        }
    }

    /// Name of the folder for what cargo-mutants writes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Group::Loop => "loop",
            Group::Daemon => "daemon",
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
        .find(|module| module.folders.iter().any(|folder| is_part(file, folder)))
}

/// Returns true for a file below a folder, unless it is below the folder of a module inside it.
pub(super) fn is_part(file: &str, folder: &str) -> bool {
    is_below(file, folder) && !inner_folders(folder).any(|inner| is_below(file, inner))
}

/// Folders of the modules inside a folder that is a module itself.
pub(super) fn inner_folders(folder: &str) -> impl Iterator<Item = &'static str> {
    let mut folders = MODULES.iter().flat_map(|module| module.folders);
    let is_module = folders.any(|module| *module == folder);
    let inner = MODULES.iter().flat_map(|module| module.folders).copied();
    inner.filter(move |inner| is_module && is_below(inner, folder))
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
        assert_eq!(name("src/table/radix.rs"), Some("table"));
        assert_eq!(name("src/session/answer.rs"), Some("session"));
        assert_eq!(name("eventryd/src/session/a/b.rs"), Some("session"));
        assert_eq!(name("src/wired/mod.rs"), None);
        assert_eq!(name("src/wire"), None);
        assert_eq!(name("eventryd/src/net/unix.rs"), Some("net"));
        assert_eq!(name("eventryd/src/net/tls/mod.rs"), Some("tls"));
    }

    #[test]
    fn modules_have_the_names_of_older_commits_too() {
        let find = |name| MODULES.iter().find(|module| module.is_called(name));
        assert_eq!(find("core"), find("table"));
        assert_eq!(find("session").unwrap().name, "session");
        assert_eq!(find("src"), None);
    }
}
