//! Long generated sequences of the ops of the exhaustive search, which reach a greater depth and larger tables.

mod common;

use common::{Move, apply, events, interval, moves, ready};
use eventry::Events;
use eventry_verification::bytes;
use eventry_verification::oracle::Answer;
use eventry_verification::refinement::Steps;
use eventry_verification::situations::Situations;
use eventry_verification::{Op, Violation, World};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::os::fd::RawFd;

/// Returns the number of new sequences that `EVENTRY_CASES` requests.
fn requested_cases() -> Option<u32> {
    let requested = std::env::var("EVENTRY_CASES").ok();
    requested.map(|cases| cases.parse().expect("EVENTRY_CASES is a number"))
}

/// Returns a runner of `cases` sequences. They are the same in every run, unless `EVENTRY_CASES` requests another
/// number of new ones.
fn runner(cases: u32) -> TestRunner {
    let requested = requested_cases();
    let config = Config {
        cases: requested.unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    };
    match requested {
        Some(_) => TestRunner::new(config),
        None => {
            let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config, same)
        }
    }
}

/// Runs `cases` generated sequences. Returns the situations that occurred, and the steps that were compared with the
/// relation.
fn run(cases: u32, longest: usize) -> Result<(Situations, Steps), TestError<Vec<Move>>> {
    let met = RefCell::new((Situations::default(), Steps::default()));
    runner(cases).run(&moves(longest), |moves| {
        let (situations, steps) =
            check(&moves).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
        let mut met = met.borrow_mut();
        met.0.add(&situations);
        met.1.add(steps);
        Ok(())
    })?;
    Ok(met.into_inner())
}

/// Checks one sequence from the empty table to the end of the loop. Returns the situations, and the steps that were
/// compared with the relation.
fn check(moves: &[Move]) -> Result<(Situations, Steps), Violation> {
    let mut world = World::with_limit(1 + moves.len() % 3);
    let mut situations = Situations::default();
    apply(&mut world, moves, &mut situations)?;
    world.wind_up()?;
    Ok((situations, world.steps()))
}

/// Number of cases that every run repeats.
const CASES: u32 = 10_000;
/// Minimum number of occurrences of each situation in them.
const FLOOR: usize = 1_000;

#[test]
fn long_sequences_match_the_oracle() {
    let (met, steps) = run(CASES, 200).unwrap_or_else(|failure| panic!("{failure}"));
    let (cases, floor) = match requested_cases() {
        None => (CASES, FLOOR),
        // The counts of new sequences vary with chance, but do not come near half of the floor.
        Some(cases) => (
            cases,
            FLOOR.min(FLOOR * cases as usize / CASES as usize / 2),
        ),
    };
    println!(
        "properties: {cases} cases of up to 200 moves, EVENTRY_CASES for others; {steps}; situations:\n{met}"
    );
    assert_eq!(
        met.below(floor),
        [""; 0],
        "situations that occurred less than {floor} times"
    );
    expect_actions(steps, 900_000);
}

/// Fails if fewer actions than `floor` were compared with the relation, unless another number of sequences was
/// requested.
fn expect_actions(steps: Steps, floor: usize) {
    let actions = steps.actions;
    assert!(
        requested_cases().is_some() || actions >= floor,
        "{actions} actions are less than {floor}"
    );
}

/// Covers large tables; the shorter sequences cover the situations.
#[test]
fn very_long_sequences_match_the_oracle() {
    let (_, steps) = run(300, 2_000).unwrap_or_else(|failure| panic!("{failure}"));
    println!("long: {steps}");
    expect_actions(steps, 200_000);
}

/// Generates up to `longest` moves for a table with hundreds of entries, most of which stay registered.
fn moves_in_crowd(longest: usize) -> impl Strategy<Value = Vec<Move>> {
    let nth = 0..CROWD.0 + CROWD.1;
    let replaces = (nth.clone(), any::<bool>(), events());
    let replaces = replaces.prop_map(|(nth, disable, interest)| Move::Replace {
        nth,
        disable,
        interest,
    });
    let ops = prop_oneof![
        4 => (nth.clone(), events()).prop_map(|(nth, interest)| Op::UpdateHandle { nth, interest }),
        4 => (nth.clone(), interval()).prop_map(|(nth, interval)| Op::UpdateTimeout { nth, interval }),
        1 => nth.clone().prop_map(|nth| Op::RemoveHandle { nth }),
        1 => nth.prop_map(|nth| Op::RemoveTimeout { nth }),
        2 => interval().prop_map(|interval| Op::AddTimeout { interval }),
        2 => (0..20u64).prop_map(Op::Tick),
    ];
    let ready = ready().prop_map(|ready| Move::Loop { ready, refused: 0 });
    let one = prop_oneof![
        30 => ready,
        2 => replaces,
        1 => Just(Move::RemovePublished),
        4 => ops.prop_map(Move::Op),
    ];
    proptest::collection::vec(one, longest / 2..longest)
}

/// Number of handles, and of timeouts, in a table with hundreds of entries.
const CROWD: (usize, usize) = (300, 200);

/// Creates a world with hundreds of entries, the handles on 40 descriptors, whose loop takes 32 calls at a time.
///
/// # Errors
///
/// As [`World::apply`].
fn crowd() -> Result<World, Violation> {
    let mut world = World::with_limit(32);
    for nth in 0..CROWD.0 {
        let fd = (nth % 40) as RawFd;
        let interest = Events::from_bits_truncate(1 + nth as u32 % 3);
        world.apply(Op::AddHandle { fd, interest })?;
    }
    for nth in 0..CROWD.1 {
        let interval = Some(nth as u64 % 50);
        world.apply(Op::AddTimeout { interval })?;
    }
    Ok(world)
}

/// Compares tables of about 500 entries with the relation.
#[test]
fn hundreds_of_entries_follow_the_relation() {
    let all = RefCell::new(Steps::default());
    let ran = runner(8).run(&moves_in_crowd(2_000), |moves| {
        let check = || {
            let mut world = crowd()?;
            apply(&mut world, &moves, &mut Situations::default())?;
            let entries = world.oracle().registrations();
            let registered = entries.iter().filter(|entry| entry.registered).count();
            world.wind_up()?;
            Ok((registered, world.steps()))
        };
        let (registered, steps) =
            check().map_err(|violation: Violation| TestCaseError::fail(violation.to_string()))?;
        prop_assert!(registered >= 300, "{registered} entries are registered");
        all.borrow_mut().add(steps);
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    println!("hundreds of entries: {}", all.borrow());
    expect_actions(all.into_inner(), 30_000);
}

#[test]
fn ops_from_bytes_follow_the_relation() {
    let steps = bytes::check(3_000, World::new).unwrap_or_else(|(tried, violation)| {
        panic!("{violation}, after {tried} inputs");
    });
    println!("bytes: {steps}");
    expect_actions(steps, 560_000);
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
