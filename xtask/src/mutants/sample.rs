//! A random sample of the mutants of some modules.

use super::modules::{Group, MODULES, module_of, names};
use super::outcomes::{Outcome, Tally};
use super::tool::{Checkout, Selection, file_of, files_in};
use crate::layout;
use crate::output::print_line;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Tests a random sample of the mutants of each module
///
/// The same seed and the same list of mutants give the same sample. Only the tests that take seconds are run, not the
/// slower checks. Survivors do not change the exit status.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Names of modules, such as table, registry, event_loop, wire, session
    #[arg(value_name = "MODULE", required_unless_present = "path")]
    modules: Vec<String>,
    /// Seed of the random choice
    #[arg(long)]
    seed: u64,
    /// Number of mutants of each module, or all if it has fewer
    #[arg(long, default_value_t = 40)]
    count: usize,
    /// Directory of source files, relative to the root, to use as a module; may be repeated
    #[arg(long, value_name = "FOLDER")]
    path: Vec<String>,
    /// Other checkout of the project to test, also an old one with a single package
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// Argument of `cargo test`, in place of those that select the tests of seconds; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    test_arg: Vec<String>,
    /// Print the sample without testing it
    #[arg(long)]
    list: bool,
}

/// A folder to take a sample of.
#[derive(Debug, PartialEq)]
struct Sampled {
    name: String,
    group: Group,
    folder: String,
}

/// The mutants of a folder that are tested.
struct Sample {
    sampled: Sampled,
    chosen: Vec<String>,
    /// Number of mutants to choose from.
    of: usize,
}

pub(super) fn run_task(arguments: &Arguments) -> Result<()> {
    let checkout = match &arguments.root {
        None => Checkout::own(),
        Some(root) => {
            let root = fs::canonicalize(root);
            Checkout::at(root.context("there is no such checkout")?)
        }
    };
    for sampled in resolve(&checkout, &arguments.modules, &arguments.path)? {
        let sample = choose_from(&checkout, sampled, arguments)?;
        if arguments.list {
            sample.chosen.iter().try_for_each(print_line)?;
        } else if !sample.chosen.is_empty() {
            test(&checkout, &sample, &arguments.test_arg)?;
        }
    }
    Ok(())
}

/// Finds the folders of modules and paths.
fn resolve(checkout: &Checkout, modules: &[String], paths: &[String]) -> Result<Vec<Sampled>> {
    let mut sampled = Vec::new();
    for name in modules {
        let module = MODULES.iter().find(|module| module.is_called(name));
        let module = module.with_context(|| format!("no module {name}; there are {}", names()))?;
        let folder = checkout.folder(module);
        let folder = folder.with_context(|| {
            let root = checkout.root.display();
            format!("{root} has no {}", module.folders.join(" or "))
        })?;
        sampled.push(Sampled {
            name: name.clone(),
            group: module.group,
            folder: folder.to_owned(),
        });
    }
    for path in paths {
        let path = path.trim_end_matches('/');
        if !checkout.root.join(path).is_dir() {
            bail!("{} has no folder {path}", checkout.root.display());
        }
        sampled.push(Sampled {
            name: path.to_owned(),
            group: group_of(path),
            folder: path.to_owned(),
        });
    }
    Ok(sampled)
}

/// Group of a folder: that of the module it is a part of, or else that of its package.
fn group_of(path: &str) -> Group {
    let file = format!("{path}/mod.rs");
    match module_of(&file) {
        Some(module) => module.group,
        None if path.starts_with(layout::DAEMON) => Group::Daemon,
        None => Group::Loop,
    }
}

fn choose_from(checkout: &Checkout, sampled: Sampled, arguments: &Arguments) -> Result<Sample> {
    let selection = Selection {
        checkout,
        group: sampled.group,
        files: vec![files_in(&sampled.folder)],
    };
    let all = selection.list(&[])?;
    if all.is_empty() {
        print_line(format_args!("sample: {} has no mutants", sampled.name))?;
    }
    Ok(Sample {
        of: all.len(),
        chosen: choose(all, arguments.count, arguments.seed),
        sampled,
    })
}

/// Tests a sample and prints the results.
fn test(checkout: &Checkout, sample: &Sample, test_arguments: &[String]) -> Result<()> {
    let Sample {
        sampled, chosen, ..
    } = sample;
    let files: BTreeSet<&str> = chosen.iter().map(|name| file_of(name)).collect();
    let selection = Selection {
        checkout,
        group: sampled.group,
        files: files.into_iter().map(str::to_owned).collect(),
    };
    let only: Vec<String> = chosen
        .iter()
        .map(|name| format!("--re=^{}$", regex::escape(name)))
        .collect();
    let tests = if test_arguments.is_empty() {
        checkout.fast_tests(sampled.group, chosen)
    } else {
        test_arguments.to_vec()
    };
    let run = format!("sample-{}", sampled.name.replace('/', "-"));
    let mut outcomes = selection.test(&run, &only, &tests)?;
    // `--re` of cargo-mutants 27.1.0 does not hold back the mutants that leave out a field.
    outcomes.retain(|outcome| chosen.contains(&outcome.name));
    let lines = report(sample, &outcomes);
    lines.iter().try_for_each(print_line)?;
    Ok(())
}

/// Lines about one sample.
fn report(sample: &Sample, outcomes: &[Outcome]) -> Vec<String> {
    let mut tally = Tally::default();
    outcomes
        .iter()
        .for_each(|outcome| tally.add(outcome.summary));
    let Tally {
        caught,
        missed,
        timeouts,
        unviable,
    } = tally;
    let mut lines = vec![format!(
        "sample: {}: {caught} caught, {missed} missed, {timeouts} timeouts, {unviable} unviable; {} of {} mutants",
        sample.sampled.name,
        outcomes.len(),
        sample.of
    )];
    let missed = outcomes.iter().filter(|outcome| outcome.is_missed());
    lines.extend(missed.map(|outcome| format!("missed: {}", outcome.name)));
    lines
}

/// Chooses `count` of the names at random: the same ones for the same names, in any order, and the same seed.
fn choose(mut names: Vec<String>, count: usize, seed: u64) -> Vec<String> {
    names.sort();
    names.dedup();
    let mut random = SplitMix64(seed);
    let count = count.min(names.len());
    for at in 0..count {
        let other = at + random.below(names.len() - at);
        names.swap(at, other);
    }
    names.truncate(count);
    names.sort();
    names
}

/// The generator SplitMix64 of Steele, Lea and Flood, which needs no more state than its seed.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`. The bias is below 2⁻⁴⁰, as a list has less than 2²⁴ mutants.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::outcomes::Summary;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("m{number:03}")).collect()
    }

    #[test]
    fn split_mix_gives_the_published_numbers() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn choose_depends_on_the_seed_and_not_on_the_order() {
        let mut reversed = names(200);
        reversed.reverse();
        let chosen = choose(names(200), 40, 7);
        assert_eq!(chosen.len(), 40);
        assert_eq!(chosen, choose(reversed, 40, 7));
        assert_ne!(chosen, choose(names(200), 40, 8));
    }

    #[test]
    fn choose_takes_all_of_a_short_list_once() {
        assert_eq!(choose(names(3), 40, 1), names(3));
        assert!(choose(Vec::new(), 40, 1).is_empty());
        let repeated = [names(2), names(2)].concat();
        assert_eq!(choose(repeated, 40, 1), names(2));
    }

    #[test]
    fn choose_reaches_every_mutant() {
        let mut reached: Vec<String> = (0..100)
            .flat_map(|seed| choose(names(20), 2, seed))
            .collect();
        reached.sort();
        reached.dedup();
        assert_eq!(reached, names(20));
    }

    #[test]
    fn group_of_a_path_is_that_of_its_module_or_package() {
        assert_eq!(group_of("src/table/radix"), Group::Loop);
        assert_eq!(group_of("src/session"), Group::Daemon);
        assert_eq!(group_of("eventryd/src/net/tls"), Group::Daemon);
        assert_eq!(group_of("eventryd/src/driver"), Group::Daemon);
        assert_eq!(group_of("src/capi"), Group::Loop);
    }

    #[test]
    fn report_counts_and_names_the_missed() {
        let outcome = |file: &str, summary| Outcome {
            file: file.to_owned(),
            name: format!("{file}:1:2: x"),
            summary,
            diff: PathBuf::new(),
            log: PathBuf::new(),
        };
        let sample = Sample {
            sampled: Sampled {
                name: "table".to_owned(),
                group: Group::Loop,
                folder: "src/table".to_owned(),
            },
            chosen: Vec::new(),
            of: 90,
        };
        let outcomes = [
            outcome("src/table/a.rs", Summary::MissedMutant),
            outcome("src/table/b.rs", Summary::Timeout),
        ];
        assert_eq!(
            report(&sample, &outcomes),
            [
                "sample: table: 0 caught, 1 missed, 1 timeouts, 0 unviable; 2 of 90 mutants",
                "missed: src/table/a.rs:1:2: x"
            ]
        );
    }
}
