//! Writes distinct transitions of the relation to a file, for the checker `verification/unbounded/transitions.py`.
//!
//! They are those of generated sequences, which are the same in every run, while the table has a few entries. Every
//! action is tried in their states, too: the file has some attempts that the relation allows although the code did not
//! make them, and some that it refuses, for each part of each guard.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Move, apply, moves};
use eventry_verification::refinement::transition::Transition;
use eventry_verification::situations::Situations;
use eventry_verification::{Violation, World};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// Number of transitions that are written.
const WANTED: usize = 10_400;
/// Maximum number of them with the same action, so that the rare actions are not lost among the frequent ones.
const OF_ONE_ACTION: usize = 480;
/// Maximum number of attempts with the same action and the same result.
const OF_ONE_RESULT: usize = 60;
/// Maximum number of entries.
const ENTRIES: usize = 6;
/// Maximum number of sequences, after which it is an error that there are too few transitions.
const SEQUENCES: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path: PathBuf = std::env::args_os().nth(1).ok_or("no file is named")?.into();
    let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), same);
    let strategy = moves(200);
    let mut found = Found::default();
    let mut sequences = 0;
    while found.made < WANTED {
        if sequences == SEQUENCES {
            let few = found.made;
            return Err(format!("{sequences} sequences have {few} transitions").into());
        }
        let tree = strategy.new_tree(&mut runner);
        let moves = tree.map_err(|reason| reason.to_string())?.current();
        found.add_of(&moves, 1 + sequences % 4)?;
        sequences += 1;
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, format!("[\n{}\n]\n", found.lines.join(",\n")))?;
    let (made, attempts) = (found.made, found.lines.len() - found.made);
    let results = found.of_result.len();
    println!(
        "transitions: {made} of {sequences} sequences, {attempts} attempts with {results} results"
    );
    Ok(())
}

/// The transitions found, in JSON.
#[derive(Debug, Default)]
struct Found {
    lines: Vec<String>,
    seen: HashSet<String>,
    /// Number of those that the code has made; the others are attempts.
    made: usize,
    of_action: BTreeMap<&'static str, usize>,
    of_result: BTreeMap<(&'static str, Option<&'static str>), usize>,
}

impl Found {
    /// Adds the transitions of a sequence, with a loop that takes `limit` calls at a time.
    fn add_of(&mut self, moves: &[Move], limit: usize) -> Result<(), Violation> {
        let mut world = World::with_limit(limit).recording();
        apply(&mut world, moves, &mut Situations::default())?;
        world.wind_up()?;
        self.add(&mut world);
        Ok(())
    }

    fn add(&mut self, world: &mut World) {
        for transition in world.take_transitions() {
            let count = self.of_action.entry(transition.action()).or_default();
            let own = transition.clone().canonical();
            if *count == OF_ONE_ACTION || own.slots() > ENTRIES || !self.seen.insert(own.json()) {
                continue;
            }
            *count += 1;
            self.lines.push(own.json());
            self.made += 1;
            for attempt in transition.attempts(self.made) {
                self.add_attempt(attempt);
            }
        }
    }

    fn add_attempt(&mut self, attempt: Transition) {
        let result = (attempt.action(), attempt.refusal());
        let count = self.of_result.entry(result).or_default();
        if *count == OF_ONE_RESULT {
            return;
        }
        let attempt = attempt.canonical();
        if attempt.slots() <= ENTRIES && self.seen.insert(attempt.json()) {
            *count += 1;
            self.lines.push(attempt.json());
        }
    }
}
