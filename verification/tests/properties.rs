//! Long generated sequences over the same ops as the exhaustive search: depth and size instead of
//! completeness.

mod common;

use common::{Move, moves, run};
use eventry_verification::World;
use eventry_verification::oracle::Answer;
use proptest::prelude::*;

/// Each situation is met at least so often in the cases that every run repeats.
const FLOOR: usize = 100;

#[test]
fn the_table_agrees_with_the_oracle_over_long_sequences() {
    let cases = 3_000;
    let met = run(cases, 600).unwrap_or_else(|failure| panic!("{failure}"));
    println!("properties: {cases} cases of up to 600 moves, EVENTRY_CASES for others; met\n{met}");
    assert_eq!(met.below(FLOOR), [""; 0], "met less than {FLOOR} times");
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
