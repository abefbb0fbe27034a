//! Every sequence of ops within stated bounds.

use eventry::Events;
use eventry_verification::explore::{Adds, Bounds, explore};
use std::time::Instant;

/// Two descriptors; readable, writable, or disabled; found readable, or writable and hung up; intervals
/// of none, zero and one tick.
fn bounds(adds: Adds) -> Bounds {
    let (readable, writable) = (Events::READABLE, Events::WRITABLE);
    Bounds {
        adds,
        fds: vec![0, 1],
        interests: vec![Events::NONE, readable, writable],
        ready: vec![Events::NONE, readable, writable | Events::HANGUP],
        intervals: vec![None, Some(0), Some(1)],
        refusals: false,
        rebuilds: false,
        samples: false,
        abandon: false,
        depth: usize::MAX,
    }
}

/// The same, with everything that can happen: refused descriptors, rebuilt pollers, late clocks, abandoned turns.
fn all(adds: Adds) -> Bounds {
    Bounds {
        refusals: true,
        rebuilds: true,
        samples: true,
        abandon: true,
        ..bounds(adds)
    }
}

/// Searches to the end of the bounds, prints the figures, and fails on a violation, on a search that
/// does not end, and on one that found suspiciously little.
fn search(name: &str, bounds: &Bounds, states: usize, transitions: usize) {
    let begun = Instant::now();
    let found = explore(bounds);
    println!(
        "{name}: {} states, {} transitions, depth {}, fixpoint {}, {:.1?}",
        found.states,
        found.transitions,
        found.depth,
        found.fixpoint,
        begun.elapsed()
    );
    assert_eq!(found.violation, None);
    let is_complete = found.fixpoint || found.depth == bounds.depth;
    assert!(is_complete, "the search did not come to its end");
    assert!(
        found.states >= states && found.transitions >= transitions,
        "found too little"
    );
}

/// Three entries of any kind on one descriptor, which is disabled or readable; as far as `depth` ops go.
fn three(depth: usize) -> Bounds {
    Bounds {
        fds: vec![0],
        interests: vec![Events::NONE, Events::READABLE],
        ready: vec![Events::NONE, Events::READABLE],
        intervals: vec![Some(0), Some(1)],
        depth,
        ..bounds(Adds::Ever(3))
    }
}

#[test]
fn every_sequence_over_one_entry_is_right() {
    search("one entry", &all(Adds::Ever(1)), 80_000, 900_000);
}

#[test]
fn every_sequence_over_one_entry_at_a_time_is_right() {
    let adds = Adds::AtOnce {
        entries: 1,
        stale: 1,
    };
    // Disabled or readable, and intervals of zero or none: with all of `bounds` it takes minutes.
    let fewer = Bounds {
        interests: vec![Events::NONE, Events::READABLE],
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        intervals: vec![None, Some(0)],
        ..all(adds)
    };
    search(
        "one entry at a time, storage reused",
        &fewer,
        65_000,
        950_000,
    );
}

#[test]
fn every_sequence_over_two_handles_with_refusals_is_right() {
    let handles = Bounds {
        refusals: true,
        intervals: Vec::new(),
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        ..bounds(Adds::Ever(2))
    };
    search("two handles, refusals", &handles, 300_000, 4_000_000);
}

#[test]
fn every_sequence_over_two_entries_is_right() {
    // Ready or hung up at once: with both apart it takes minutes.
    let two = Bounds {
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        ..bounds(Adds::Ever(2))
    };
    search("two entries", &two, 150_000, 1_900_000);
}

#[test]
fn every_sequence_over_two_handles_at_a_time_is_right() {
    let adds = Adds::AtOnce {
        entries: 2,
        stale: 1,
    };
    // One descriptor, disabled or readable; refusals have multiplied the states.
    let handles = Bounds {
        fds: vec![0],
        interests: vec![Events::NONE, Events::READABLE],
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        intervals: Vec::new(),
        ..all(adds)
    };
    search(
        "two handles at a time, storage reused",
        &handles,
        80_000,
        1_100_000,
    );
}

#[test]
fn every_short_sequence_over_three_entries_is_right() {
    search("three entries, 8 ops", &three(8), 60_000, 380_000);
}

#[test]
#[ignore = "deep: minutes"]
fn every_longer_sequence_over_three_entries_is_right() {
    search("three entries, 11 ops", &three(11), 300_000, 2_400_000);
}

#[test]
#[ignore = "deep: minutes"]
fn every_longer_sequence_over_three_handles_is_right() {
    let handles = Bounds {
        intervals: Vec::new(),
        refusals: true,
        rebuilds: true,
        ..three(15)
    };
    search("three handles, 15 ops", &handles, 120_000, 1_400_000);
}

#[test]
fn every_sequence_over_two_timeouts_with_late_clocks_is_right() {
    let timeouts = Bounds {
        interests: Vec::new(),
        samples: true,
        ..bounds(Adds::Ever(2))
    };
    search("two timeouts, late clocks", &timeouts, 50_000, 600_000);
}

#[test]
#[ignore = "deep: minutes"]
fn two_entries_without_abandoned_turns_match_the_oracle() {
    let two = Bounds {
        fds: vec![0],
        interests: vec![Events::NONE, Events::READABLE],
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        abandon: false,
        ..all(Adds::Ever(2))
    };
    search("two entries, everything", &two, 300_000, 3_500_000);
}
