//! Long generated sequences over the same ops as the exhaustive search: depth and size instead of
//! completeness.

mod common;

use common::{Move, check, moves};
use eventry_verification::World;
use eventry_verification::oracle::Answer;
use eventry_verification::situations::Situations;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::RefCell;

/// How many fresh sequences were asked for.
fn asked() -> Option<u32> {
    let asked = std::env::var("EVENTRY_CASES").ok();
    asked.map(|cases| cases.parse().expect("EVENTRY_CASES is a number"))
}

/// Runs `cases` generated sequences, the same ones every time unless `EVENTRY_CASES` asks for another
/// number of fresh ones, and returns what they met.
fn run(cases: u32, longest: usize) -> Result<Situations, TestError<Vec<Move>>> {
    let asked = asked();
    let config = Config {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = match asked {
        Some(_) => TestRunner::new(config),
        None => {
            let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config, same)
        }
    };
    let met = RefCell::new(Situations::default());
    runner.run(&moves(longest), |moves| {
        let of_one =
            check(&moves).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
        met.borrow_mut().add(&of_one);
        Ok(())
    })?;
    Ok(met.into_inner())
}

/// The cases that every run repeats, and how often each situation is met in them at least.
const CASES: u32 = 10_000;
const FLOOR: usize = 1_000;

#[test]
fn the_table_agrees_with_the_oracle_over_long_sequences() {
    let met = run(CASES, 200).unwrap_or_else(|failure| panic!("{failure}"));
    let (cases, floor) = match asked() {
        None => (CASES, FLOOR),
        // Chance decides how often fresh ones meet it; half as often is far from what it does.
        Some(cases) => (
            cases,
            FLOOR.min(FLOOR * cases as usize / CASES as usize / 2),
        ),
    };
    println!("properties: {cases} cases of up to 200 moves, EVENTRY_CASES for others; met\n{met}");
    assert_eq!(met.below(floor), [""; 0], "met less than {floor} times");
}

/// The situations are met by the shorter ones; these are about tables that have grown.
#[test]
fn the_table_agrees_with_the_oracle_over_very_long_sequences() {
    run(300, 2_000).unwrap_or_else(|failure| panic!("{failure}"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    /// I15: nothing but the ops decides what is called.
    #[test]
    fn the_same_ops_give_the_same_answers(moves in moves(200)) {
        prop_assert_eq!(answers(&moves), answers(&moves));
    }
}

fn answers(moves: &[Move]) -> Vec<Answer> {
    let mut world = World::new();
    let mut answers = Vec::new();
    for step in moves {
        for op in step.ops(&world) {
            world.apply(op).expect("checked by the other test");
            answers.push(world.last().clone());
        }
    }
    answers
}
