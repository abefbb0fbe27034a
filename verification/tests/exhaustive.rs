//! Searches over every sequence of ops within bounds.

use eventry::Events;
use eventry_verification::explore::{Adds, Bounds, explore};
use std::time::Instant;

/// Bounds with two descriptors, the interests readable, writable and none, the events readable, and writable
/// with hang-up, and the intervals none, zero and one tick.
fn bounds(adds: Adds) -> Bounds {
    let (readable, writable) = (Events::READABLE, Events::WRITABLE);
    Bounds {
        adds,
        fds: vec![0, 1],
        interests: vec![Events::NONE, readable, writable],
        ready: vec![Events::NONE, readable, writable | Events::HANGUP],
        intervals: vec![None, Some(0), Some(1)],
        refusals: false,
        recreations: false,
        reopenings: false,
        losses: false,
        samples: false,
        abandon: false,
        limit: 2,
        refinement: true,
        depth: usize::MAX,
    }
}

/// The same bounds with refused descriptors, recreated pollers, late clocks and abandoned turns.
fn all(adds: Adds) -> Bounds {
    Bounds {
        refusals: true,
        recreations: true,
        samples: true,
        abandon: true,
        ..bounds(adds)
    }
}

/// Least numbers of actions of the relation in the searches of every run.
const ACTIONS: [(&str, usize); 8] = [
    ("one entry", 430_000),
    ("one entry at a time, storage reused", 1_060_000),
    ("two handles, refusals", 1_180_000),
    ("two entries", 2_970_000),
    ("two handles at a time, storage reused", 2_450_000),
    ("two handles, numbers reopened", 490_000),
    ("two timeouts, late clocks", 1_280_000),
    ("three entries, 8 ops", 310_000),
];

// With fewer, the code would be bound to the relation by fewer steps than is documented.
const _: () = {
    let (mut all, mut at) = (0, 0);
    while at < ACTIONS.len() {
        all += ACTIONS[at].1;
        at += 1;
    }
    assert!(all >= 10_000_000);
};

/// Searches to the end of the bounds and prints the figures.
///
/// # Panics
///
/// On a violation, if the search does not reach the end of the bounds, or if it finds fewer states or
/// transitions than given, or fewer actions than [`ACTIONS`] has.
fn search(name: &str, bounds: &Bounds, states: usize, transitions: usize) {
    let begun = Instant::now();
    let found = explore(bounds);
    println!(
        "{name}: {} states, {} transitions, {}, depth {}, fixpoint {}, {:.1?}",
        found.states,
        found.transitions,
        found.steps,
        found.depth,
        found.fixpoint,
        begun.elapsed()
    );
    assert_eq!(found.violation, None);
    let is_complete = found.fixpoint || found.depth == bounds.depth;
    assert!(
        is_complete,
        "the search did not reach the end of the bounds"
    );
    assert!(
        found.states >= states && found.transitions >= transitions,
        "the search found too few states or transitions"
    );
    let floor = ACTIONS.iter().find(|(own, _)| *own == name);
    assert!(
        floor.is_none_or(|(_, floor)| found.steps.actions >= *floor),
        "the search compared too few actions with the relation"
    );
}

/// Bounds for three entries of any kind on one descriptor, which is disabled or readable, to a depth of
/// `depth` ops.
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
fn one_entry_matches_the_oracle() {
    search("one entry", &all(Adds::Ever(1)), 45_000, 520_000);
}

#[test]
fn one_entry_at_a_time_matches_the_oracle() {
    let adds = Adds::AtOnce {
        entries: 1,
        stale: 1,
    };
    // The interests none and readable, and the intervals none and zero: all of `bounds` takes minutes.
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

// The longest search. Its name is the first, so that it starts first and the other threads run the rest meanwhile.
#[test]
fn a_pair_of_handles_with_refusals_matches_the_oracle() {
    let handles = Bounds {
        refusals: true,
        intervals: Vec::new(),
        // A refusal is called alone. The other searches have batches.
        limit: 1,
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        ..bounds(Adds::Ever(2))
    };
    search("two handles, refusals", &handles, 100_000, 1_200_000);
}

#[test]
fn two_entries_match_the_oracle() {
    // Readable and hung up together: the two as separate events take minutes.
    let two = Bounds {
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        ..bounds(Adds::Ever(2))
    };
    search("two entries", &two, 150_000, 1_900_000);
}

#[test]
fn two_handles_of_reopened_numbers_match_the_oracle() {
    let handles = Bounds {
        fds: vec![0],
        interests: vec![Events::NONE, Events::READABLE],
        ready: vec![Events::NONE, Events::READABLE],
        intervals: Vec::new(),
        refusals: true,
        recreations: true,
        reopenings: true,
        losses: true,
        depth: 18,
        ..bounds(Adds::Ever(2))
    };
    search("two handles, numbers reopened", &handles, 55_000, 550_000);
}

#[test]
fn two_handles_at_a_time_match_the_oracle() {
    let adds = Adds::AtOnce {
        entries: 2,
        stale: 1,
    };
    // One descriptor, disabled or readable, because refusals multiply the states.
    let handles = Bounds {
        fds: vec![0],
        interests: vec![Events::NONE, Events::READABLE],
        ready: vec![Events::NONE, Events::READABLE | Events::HANGUP],
        intervals: Vec::new(),
        // The loop looks for the next handle of the descriptor after each call.
        limit: 1,
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
fn three_entries_match_the_oracle_for_8_ops() {
    search("three entries, 8 ops", &three(8), 57_000, 380_000);
}

#[test]
#[ignore = "deep: minutes"]
fn three_entries_match_the_oracle_for_11_ops() {
    search("three entries, 11 ops", &three(11), 300_000, 2_400_000);
}

#[test]
#[ignore = "deep: minutes"]
fn three_handles_match_the_oracle_for_15_ops() {
    let handles = Bounds {
        intervals: Vec::new(),
        refusals: true,
        recreations: true,
        ..three(15)
    };
    search("three handles, 15 ops", &handles, 120_000, 1_400_000);
}

#[test]
fn two_timeouts_with_late_clocks_match_the_oracle() {
    let timeouts = Bounds {
        interests: Vec::new(),
        samples: true,
        ..bounds(Adds::Ever(2))
    };
    search("two timeouts, late clocks", &timeouts, 40_000, 480_000);
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
