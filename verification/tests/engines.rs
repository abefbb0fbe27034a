//! The engines of the table, with bounds small enough to be run for each defect of `verification/defects.toml`.
//!
//! The full searches and sequences are in `exhaustive.rs` and `properties.rs`. `cargo xtask defects` runs these
//! tests in its copy of the tree, one process per defect, and reads the broken rule from the message of the panic.
//! They compare with the oracle alone: the relation would find some of the defects earlier, under the name of its own
//! rule, and it would not be known that the oracle finds them.

mod common;

use common::{apply, moves};
use eventry::Events;
use eventry_verification::bytes;
use eventry_verification::explore::{Adds, Bounds, explore};
use eventry_verification::situations::Situations;
use eventry_verification::{Violation, World};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;

/// Bounds for two entries of any kind on one descriptor.
fn two() -> Bounds {
    let (readable, writable) = (Events::READABLE, Events::WRITABLE);
    Bounds {
        adds: Adds::Ever(2),
        fds: vec![0],
        interests: vec![Events::NONE, readable, writable],
        ready: vec![Events::NONE, readable],
        intervals: vec![Some(0)],
        refusals: true,
        recreations: true,
        reopenings: false,
        losses: false,
        samples: false,
        abandon: false,
        limit: 2,
        refinement: false,
        depth: usize::MAX,
    }
}

/// Bounds of short searches that together detect most defects.
fn small_searches() -> [Bounds; 5] {
    let two = two();
    let readable = Events::READABLE;
    let late_clocks = Bounds {
        adds: Adds::Ever(1),
        interests: Vec::new(),
        samples: true,
        ..two.clone()
    };
    let timeouts = Bounds {
        interests: Vec::new(),
        intervals: vec![Some(0), Some(2)],
        depth: 8,
        ..two.clone()
    };
    let reuse = Bounds {
        adds: Adds::AtOnce {
            entries: 1,
            stale: 1,
        },
        interests: vec![Events::NONE, readable],
        ..two.clone()
    };
    let three = Bounds {
        adds: Adds::Ever(3),
        interests: vec![readable],
        intervals: Vec::new(),
        refusals: false,
        recreations: false,
        // The loop looks for the next handle of the descriptor after each call.
        limit: 1,
        depth: 11,
        ..two.clone()
    };
    let files = Bounds {
        interests: vec![Events::NONE, readable],
        intervals: Vec::new(),
        refusals: false,
        recreations: false,
        reopenings: true,
        losses: true,
        depth: 10,
        ..two.clone()
    };
    [late_clocks, timeouts, three, files, reuse]
}

/// Returns the first violation of the searches, and the ops that lead to it.
fn search(searches: &[Bounds]) -> Option<(String, Violation)> {
    searches.iter().find_map(|bounds| {
        let (ops, violation) = explore(bounds).violation?;
        Some((format!("{ops:?}"), violation))
    })
}

/// Returns the first violation in generated sequences, which are the same in every run.
fn properties(cases: u32) -> Option<(String, Violation)> {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, same);
    let found = RefCell::new(None);
    let tried = RefCell::new(0);
    let ran = runner.run(&moves(200), |moves| {
        *tried.borrow_mut() += 1;
        let mut world = World::with_limit(1 + moves.len() % 3).without_refinement();
        let applied = apply(&mut world, &moves, &mut Situations::default());
        applied.and_then(|()| world.wind_up()).map_err(|violation| {
            let failure = TestCaseError::fail(violation.to_string());
            found.replace(Some(violation));
            failure
        })
    });
    let found = found.into_inner();
    assert_eq!(ran.is_err(), found.is_some(), "{ran:?}");
    found.map(|violation| (format!("{} sequences", tried.into_inner()), violation))
}

/// Returns the first violation in ops decoded from bytes.
fn random_bytes(inputs: u32) -> Option<(String, Violation)> {
    let checked = bytes::check(inputs, || World::new().without_refinement());
    let (tried, violation) = checked.err()?;
    Some((format!("{tried} inputs"), violation))
}

/// Fails with the broken rule and its cause if there is a violation.
fn expect_nothing(found: Option<(String, Violation)>) {
    if let Some((after, violation)) = found {
        panic!("broken rule: {violation}, after {after}");
    }
}

#[test]
fn small_searches_find_nothing() {
    expect_nothing(search(&small_searches()));
}

#[test]
fn search_over_two_entries_finds_nothing() {
    expect_nothing(search(&[two()]));
}

#[test]
fn first_sequences_find_nothing() {
    expect_nothing(properties(400));
}

#[test]
fn random_bytes_find_nothing() {
    expect_nothing(random_bytes(3_000));
}
