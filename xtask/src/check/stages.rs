//! The stages of `./tests/run`. What each runs is a function of that script.

use super::figures::Figures;

/// A stage, and what its line of the summary shows.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// Description in the help.
    pub(super) about: &'static str,
    pub(super) when: When,
    pub(super) figures: Figures,
}

/// Runs that have a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// Always, and with longer bounds in a run with `--deep`.
    Deep,
    /// Only when it is named.
    Named,
}

/// Patterns and replacements for the rounds of `strict_removal` in C.
const STRICT_IN_C: (&str, &str) = (
    r"^strict removal: eventry: (.* cycles in .* s), .*, (.* late starts)",
    "$1, $2",
);

/// Pattern and replacement for the rounds of the test `stress`.
const STRESS: (&str, &str) = (
    r"^stress: (.* rounds), .*(poll\(2\) agreed [0-9]* times).*",
    "$1, $2",
);

/// All stages, in the order in which they run.
pub(super) const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        about: "the formatting of all crates",
        when: When::Always,
        figures: Figures::Lines(&[]),
    },
    Stage {
        name: "clippy",
        about: "lints of all crates, warnings are errors",
        when: When::Always,
        figures: Figures::Lines(&[]),
    },
    Stage {
        name: "msrv",
        about: "build of both packages and their tests with the oldest supported Rust",
        when: When::Always,
        figures: Figures::Lines(&[&[(r"^msrv: .*(rustc .*)", "$1")]]),
    },
    Stage {
        name: "build-bare",
        about: "the library alone, without default features",
        when: When::Always,
        figures: Figures::Lines(&[&[(r"^packages: (.*)", "$1")]]),
    },
    Stage {
        name: "package",
        about: "the library as `cargo publish` packs it, with its unit tests and examples",
        when: When::Always,
        figures: Figures::Lines(&[&[(r"^packaged: (.*)", "$1")]]),
    },
    Stage {
        name: "docs",
        about: "the documentation, warnings are errors",
        when: When::Always,
        figures: Figures::Lines(&[]),
    },
    Stage {
        name: "test",
        about: "unit, integration and documentation tests, unoptimised",
        when: When::Always,
        figures: Figures::Lines(&[]),
    },
    Stage {
        name: "simulator",
        about: "simulated runs of the daemon in virtual time, compared with a simple model",
        when: When::Deep,
        figures: Figures::Lines(&[&[(r"^simulator: (.*); met$", "$1")]]),
    },
    Stage {
        name: "strict",
        about: "removal from another thread under load: no callback starts after it (release build)",
        when: When::Deep,
        figures: Figures::Lines(&[&[(r"^strict removal: (.*)", "$1")]]),
    },
    Stage {
        name: "exhaustive",
        about: "all sequences of table operations up to a length, compared with a simple model",
        when: When::Deep,
        figures: Figures::Lines(&[&[(
            r"^(.*: [0-9]* states, [0-9]* transitions), .* ([0-9]* of them actions), .*",
            "$1, $2",
        )]]),
    },
    Stage {
        name: "properties",
        about: "long random sequences, compared with the same model; rules of sleep and wake",
        when: When::Deep,
        figures: Figures::Lines(&[
            &[
                (
                    r"^(properties|sleep): ([0-9]* cases of up to [0-9]* moves).*",
                    "$1 $2",
                ),
                (
                    r"^(long|bytes|hundreds of entries): ([0-9]* refinement steps), .*",
                    "$1: $2",
                ),
            ],
            &[(r"^ *([0-9]{3,}) ([a-z].*)", "$2 $1")],
        ]),
    },
    Stage {
        name: "defects",
        about: "deliberate defects in a copy of the code, which the checks must detect",
        when: When::Always,
        figures: Figures::Lines(&[&[(r"^matrix: (.*)", "$1")]]),
    },
    Stage {
        name: "loom",
        about: "all thread interleavings of small programs that use the lock, sleep and wake",
        when: When::Always,
        figures: Figures::Models,
    },
    Stage {
        name: "spin",
        about: "SPIN model of sleep and wake, and defects that SPIN must detect",
        when: When::Always,
        figures: Figures::Lines(&[&[
            (r"^([a-z_]*: [0-9]* states)$", "$1"),
            (r"^spin: (.*)", "$1"),
        ]]),
    },
    Stage {
        name: "unbounded",
        about: "proofs of the table and its dispatch for any number of entries, by two provers each",
        when: When::Always,
        figures: Figures::Lines(&[&[
            (r"^relation: ([0-9]* obligations), (.*)", "$1, $2"),
            (r"^transitions: (.* refused) .*", "transitions $1"),
            (r"^unbounded: ([0-9]* goals .*)", "$1"),
        ]]),
    },
    Stage {
        name: "fuzz",
        about: "coverage-guided fuzzing, EVENTRY_FUZZ_SECONDS for each target",
        when: When::Deep,
        figures: Figures::Lines(&[&[(r"^fuzz target (.* executions), .*", "$1")]]),
    },
    Stage {
        name: "soak",
        about: "valid, slow and hostile clients of the daemon at once, EVENTRY_SOAK_SECONDS long",
        when: When::Always,
        figures: Figures::Lines(&[&[
            (r"^soak: (at the start|settled after) (.*)", "$1 $2"),
            (r"^soak: ([0-9]* polite sessions.*)", "$1"),
        ]]),
    },
    Stage {
        name: "acceptance",
        about: "unmodified virsh, with eventryd as it is released",
        when: When::Always,
        figures: Figures::Lines(&[
            &[(r"^(?:stock file|virconf): (.*)", "$1")],
            &[
                (r"^(?:.* )?([0-9]* recorded sessions equal).*", "$1"),
                (r".*(descriptors [0-9]*, resident .*)", "$1"),
            ],
        ]),
    },
    Stage {
        name: "mutants",
        about: "some mutants of the code that changed since the commit in docs/mutants.md",
        when: When::Always,
        figures: Figures::Lines(&[&[(r"^mutants: (.*)", "$1")]]),
    },
    Stage {
        name: "capi",
        about: "C libraries: symbols, the same program on libvirt's loop, examples, valgrind",
        when: When::Always,
        figures: Figures::Lines(&[
            &[
                (r"^(?:conformance both|symbols|valgrind): (.*)", "$1"),
                (r"^libvirt in (.*): alive(.*)", "$1 alive$2"),
            ],
            &[STRICT_IN_C],
        ]),
    },
    Stage {
        name: "asan",
        about: "the program of stage capi, a libvirt client and stress, with AddressSanitizer",
        when: When::Always,
        figures: Figures::Lines(&[
            &[STRESS],
            &[
                (r"^asan: (.*)", "$1"),
                (r"^conformance eventry: ([0-9]* cases).*", "$1"),
            ],
            &[STRICT_IN_C],
        ]),
    },
    Stage {
        name: "tsan",
        about: "stress and removal, with ThreadSanitizer; installs the component rust-src",
        when: When::Named,
        figures: Figures::Lines(&[
            &[STRESS],
            &[(r"^strict removal: (.* cycles in [^ ]*), .*", "$1")],
        ]),
    },
];

/// Names and descriptions of the stages that `is_wanted`, one a line.
pub(super) fn descriptions(is_wanted: impl Fn(When) -> bool) -> String {
    let stages = STAGES.iter().filter(|stage| is_wanted(stage.when));
    let lines = stages.map(|stage| format!("  {:<12} {}", stage.name, stage.about));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use std::collections::BTreeSet;
    use std::fs;

    #[test]
    fn stages_are_the_functions_of_the_script() {
        let script = fs::read_to_string(layout::root().join(layout::RUN)).unwrap();
        let functions = script
            .lines()
            .filter_map(|line| line.strip_prefix("stage_")?.split_once("() {"));
        let functions: BTreeSet<&str> = functions.map(|(name, _)| name).collect();
        let stages: BTreeSet<&str> = STAGES.iter().map(|stage| stage.name).collect();
        assert_eq!(stages, functions);
        assert_eq!(stages.len(), STAGES.len());
    }

    #[test]
    fn descriptions_leave_out_what_is_not_wanted() {
        let always = descriptions(|when| when != When::Named);
        assert!(always.starts_with("  fmt          the formatting"));
        assert!(!always.contains("tsan"));
        assert_eq!(descriptions(|when| when == When::Named).lines().count(), 1);
    }
}
