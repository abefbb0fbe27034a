//! The checks, checked: each planted mistake is caught by the check that is named for it, and without one
//! all are silent.
//!
//! This is about the engines of the table: the search, the generated sequences, and bytes as the fuzzer
//! would give them. `tests/loom.rs` plants as well, and `tools/proof-matrix` adds the tests of the loop and
//! makes the table in `docs/proof.md` of it all.

#[cfg(not(eventry_verification))]
compile_error!(
    "planting a defect needs `--cfg eventry_verification`: run cargo in `verification/`, whose \
     configuration sets it, or put it into RUSTFLAGS"
);

mod common;

use arbitrary::Unstructured;
use common::{check, moves};
use eventry::Events;
use eventry::planted::{Defect, plant};
use eventry_verification::defects::{Check, is_of_the_table, named_checks};
use eventry_verification::explore::{Adds, Bounds, explore};
use eventry_verification::{Op, Violation, World};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;

/// Bounds small enough to take no time, which together are large enough for almost every mistake.
fn searches() -> [Bounds; 5] {
    let (readable, writable) = (Events::READABLE, Events::WRITABLE);
    let two = Bounds {
        adds: Adds::Ever(2),
        fds: vec![0],
        interests: vec![Events::NONE, readable, writable],
        ready: vec![Events::NONE, readable],
        intervals: vec![Some(0)],
        refusals: true,
        rebuilds: true,
        samples: false,
        abandon: false,
        depth: usize::MAX,
    };
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
        rebuilds: false,
        depth: 11,
        ..two.clone()
    };
    [late_clocks, timeouts, three, reuse, two]
}

/// The rule that the search finds broken, and what breaks it.
fn search(searches: &[Bounds]) -> Option<(String, Violation)> {
    searches.iter().find_map(|bounds| {
        let (ops, violation) = explore(bounds).violation?;
        Some((format!("{ops:?}"), violation))
    })
}

/// The same for generated sequences, the same ones every time.
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
        check(&moves).map(drop).map_err(|violation| {
            let failure = TestCaseError::fail(violation.to_string());
            found.replace(Some(violation));
            failure
        })
    });
    let found = found.into_inner();
    assert_eq!(ran.is_err(), found.is_some(), "{ran:?}");
    found.map(|violation| (format!("{} sequences", tried.into_inner()), violation))
}

/// The same for bytes that are taken for ops in the way of the fuzz target `core_ops`, the same ones every
/// time and without the coverage that leads a fuzzer.
fn bytes(inputs: u32) -> Option<(String, Violation)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (1..=inputs).find_map(|tried| {
        let input: Vec<u8> = (0..80).flat_map(|_| next()).collect();
        let mut input = Unstructured::new(&input);
        let mut world = World::new();
        let broken = loop {
            if input.is_empty() {
                break world.wind_up();
            }
            let op: Op = input.arbitrary().expect("ops are made of any bytes");
            if let Err(violation) = world.apply(op) {
                break Err(violation);
            }
        };
        Some((format!("{tried} inputs"), broken.err()?))
    })
}

/// What each engine finds.
fn engines() -> [(&'static str, Option<(String, Violation)>); 3] {
    [
        ("search", search(&searches())),
        ("properties", properties(400)),
        ("bytes", bytes(3_000)),
    ]
}

/// What is wrong with what the engines say of `defect`.
fn faults(defect: Defect) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_of_the_table(defect) {
        plant(Some(defect));
        let found = search(&searches()[..4]);
        plant(None);
        faults.extend(found.map(|_| format!("{defect:?} is not the table's")));
        return faults;
    }
    plant(Some(defect));
    let found = engines();
    plant(None);
    for (engine, found) in &found {
        if let Some((after, violation)) = found {
            // For `tools/proof-matrix`.
            println!("matrix {defect:?} {engine} {}", violation.rule);
            println!("    {violation}, after {after}");
        }
    }
    let caught = found.iter().filter(|(_, found)| found.is_some()).count();
    if caught < 2 {
        faults.push(format!("{defect:?} is caught by {caught} engines"));
    }
    for named in named_checks(defect) {
        let (engine, rule) = match *named {
            Check::Search(rule) => ("search", rule),
            Check::Properties(rule) => ("properties", rule),
            Check::Model(..) | Check::Test(_) => continue,
        };
        let of_engine = found.iter().find(|(name, _)| *name == engine);
        let broken = of_engine.and_then(|(_, found)| found.as_ref());
        let broken = broken.map(|(_, violation)| violation.rule);
        if broken != Some(rule) {
            faults.push(format!("{defect:?}: {engine}: {broken:?}, not {rule}"));
        }
    }
    faults
}

#[test]
fn every_table_defect_is_caught_by_its_rule_and_two_engines() {
    let faults: Vec<String> = Defect::ALL.iter().copied().flat_map(faults).collect();
    assert_eq!(faults, [""; 0]);
}

/// What `tools/proof-matrix` must know: every defect, what it is, and by what it must be caught.
#[test]
fn every_defect_has_a_named_check_and_a_promise() {
    let promises = include_str!("../../docs/proof.md");
    let (promises, _) = promises
        .split_once("## Bounds and counts")
        .expect("the promises come first");
    for &defect in Defect::ALL {
        println!("defect {defect:?}{}", defect.what());
        assert!(!named_checks(defect).is_empty(), "{defect:?}");
        let promised = promises.contains(&format!("`{defect:?}`"));
        assert!(
            promised,
            "{defect:?} stands beside no promise in docs/proof.md"
        );
        for named in named_checks(defect) {
            match *named {
                Check::Search(rule) => println!("named {defect:?} search {rule}"),
                Check::Properties(rule) => println!("named {defect:?} properties {rule}"),
                Check::Model(model, _) => println!("named {defect:?} loom {model}"),
                Check::Test(name) => println!("named {defect:?} tests {name}"),
            }
        }
    }
}

#[test]
fn nothing_is_reported_when_nothing_is_planted() {
    for (engine, found) in engines() {
        assert_eq!(found, None, "{engine}");
    }
}
