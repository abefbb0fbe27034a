//! The simulator: sessions, keepalive, limits and the worker pool in virtual time, under a scheduler that follows from
//! a seed (`docs/simulator.md`).
//!
//! `EVENTRY_SEEDS` sets the number of worlds. `EVENTRY_SEED` replays the world of one seed and prints every step. A
//! failing seed prints the command that replays it.

#![cfg(not(loom))]
#![allow(
    clippy::print_stdout,
    reason = "the figures and the steps are part of the result"
)]
#![allow(
    clippy::disallowed_types,
    reason = "the hypervisor of a test needs no lock of loom's"
)]

mod accept;
mod claims;
mod client;
mod driver;
mod end;
mod faults;
mod invariants;
mod keepalive;
mod ledger;
mod message;
mod pipe;
mod plan;
mod serve;
mod situations;
mod time;
mod wire;
mod workers;
mod world;

use situations::Situations;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use world::World;

/// The number of worlds of a plain `cargo test`.
const SEEDS: u64 = 300;
/// The number of worlds for which [`FLOOR`] holds.
const OF_SEEDS: u64 = 10_000;
/// The smallest count of each situation.
const FLOOR: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Runs the world of a seed. A failure prints the command that replays it.
fn run_seed(seed: u64) -> Situations {
    let mut world = World::new(seed, false);
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|failure| {
        println!(
            "to replay it: EVENTRY_SEED={seed} cargo test --test simulator -- --nocapture one_seed"
        );
        resume_unwind(failure)
    })
}

/// Returns the steps of a world, and its result.
fn trace(seed: u64) -> (Vec<String>, std::thread::Result<Situations>) {
    let mut world = World::new(seed, true);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    (world.trace.take().unwrap_or_default(), result)
}

#[test]
fn every_rule_holds_in_every_world() {
    if number("EVENTRY_SEED").is_some() {
        return;
    }
    let seeds = number("EVENTRY_SEEDS").unwrap_or(SEEDS);
    let mut counts = Situations::default();
    for seed in 0..seeds {
        counts.add(&run_seed(seed));
    }
    println!(
        "simulator: {seeds} seeds, {} steps; met\n{counts}",
        counts.steps
    );
    // Fewer seeds scatter more; a third of the floor is far below what they reach.
    let floor = if seeds >= OF_SEEDS {
        FLOOR
    } else {
        FLOOR * seeds / OF_SEEDS / 3
    };
    let floor = usize::try_from(floor).expect("it fits");
    let rare: Vec<_> = counts
        .all()
        .into_iter()
        .filter(|(_, count)| *count < floor)
        .collect();
    assert_eq!(rare, [], "situations met less than {floor} times");
}

#[test]
fn one_seed_is_replayed_with_its_steps() {
    let Some(seed) = number("EVENTRY_SEED") else {
        return;
    };
    let (steps, result) = trace(seed);
    for step in steps {
        println!("{step}");
    }
    match result {
        Ok(counts) => println!("seed {seed}: all rules hold; met\n{counts}"),
        Err(failure) => resume_unwind(failure),
    }
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    let mut steps = 0;
    for seed in 0..20 {
        let (first, second) = (trace(seed).0, trace(seed).0);
        assert_eq!(first, second, "seed {seed}");
        steps += first.len();
    }
    // A daemon may be stopped after a few steps.
    assert!(steps > 2_000, "the seeds take only {steps} steps");
}
