//! Long generated sequences of the ops of the exhaustive search, which reach a greater depth and larger tables.

mod common;

use common::{Move, check, moves};
use eventry_verification::World;
use eventry_verification::oracle::Answer;
use eventry_verification::situations::Situations;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::RefCell;

/// Returns the number of new sequences that `EVENTRY_CASES` requests.
fn requested_cases() -> Option<u32> {
    let requested = std::env::var("EVENTRY_CASES").ok();
    requested.map(|cases| cases.parse().expect("EVENTRY_CASES is a number"))
}

/// Runs `cases` generated sequences and returns the situations that occurred. The sequences are the same in
/// every run, unless `EVENTRY_CASES` requests another number of new ones.
fn run(cases: u32, longest: usize) -> Result<Situations, TestError<Vec<Move>>> {
    let requested = requested_cases();
    let config = Config {
        cases: requested.unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = match requested {
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

/// Number of cases that every run repeats.
const CASES: u32 = 10_000;
/// Minimum number of occurrences of each situation in them.
const FLOOR: usize = 1_000;

#[test]
fn long_sequences_match_the_oracle() {
    let met = run(CASES, 200).unwrap_or_else(|failure| panic!("{failure}"));
    let (cases, floor) = match requested_cases() {
        None => (CASES, FLOOR),
        // The counts of new sequences vary with chance, but do not come near half of the floor.
        Some(cases) => (
            cases,
            FLOOR.min(FLOOR * cases as usize / CASES as usize / 2),
        ),
    };
    println!(
        "properties: {cases} cases of up to 200 moves, EVENTRY_CASES for others; situations:\n{met}"
    );
    assert_eq!(
        met.below(floor),
        [""; 0],
        "situations that occurred less than {floor} times"
    );
}

/// Covers large tables; the shorter sequences cover the situations.
#[test]
fn very_long_sequences_match_the_oracle() {
    run(300, 2_000).unwrap_or_else(|failure| panic!("{failure}"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    /// I15: the calls depend on the ops alone.
    #[test]
    fn same_ops_give_the_same_answers(moves in moves(200)) {
        prop_assert_eq!(answers(&moves), answers(&moves));
    }
}

fn answers(moves: &[Move]) -> Vec<Answer> {
    let mut world = World::new();
    let mut answers = Vec::new();
    for step in moves {
        for op in step.ops(&world) {
            world.apply(op).expect("the other test checks the rules");
            answers.push(world.last().clone());
        }
    }
    answers
}
