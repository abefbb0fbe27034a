//! Long generated sequences that check the sleep of the real loop.
//!
//! A removed entry is freed, a change made during the sleep is seen, a stop ends a run, and the loop is woken
//! for no other reason. Everything runs on one thread: the operations of another thread during the sleep
//! run inside the wait of the model poller. The loom models check several threads.

mod poller;
mod world;

use eventry::Events;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::time::Duration;
use world::{Act, Counts, Harness};

/// Minimum number of occurrences of each situation.
const FLOOR: usize = 1_000;

/// One step of a generated sequence.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Between two turns.
    BetweenTurns(Act),
    /// During the next wait.
    DuringWait(Act),
    /// During the next call.
    DuringCall(Act),
    Turn(Option<u64>),
    Run,
}

#[test]
fn loop_is_woken_exactly_when_it_has_work() {
    let cases = 10_000;
    let counts = run(cases);
    println!(
        "sleep: {cases} cases of up to 200 moves, {} calls; situations:",
        counts.calls
    );
    let mut rare = Vec::new();
    for (name, count) in counts.by_name() {
        println!("{count:>9} {name}");
        rare.extend((count < FLOOR).then_some(name));
    }
    assert_eq!(
        rare, [""; 0],
        "situations that occurred less than {FLOOR} times"
    );
}

/// Runs the first of the same sequences, which suffice for `cargo xtask defects`.
#[test]
fn the_first_sequences_are_right() {
    run(500);
}

/// Runs `cases` sequences, which are the same in every run, and returns the counts.
fn run(cases: u32) -> Counts {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, same);
    let all = RefCell::new(Counts::default());
    let moves = proptest::collection::vec(one_move(), 0..200);
    let ran = runner.run(&moves, |moves| {
        let (failure, counts) = check(&moves);
        all.borrow_mut().add(&counts);
        match failure {
            None => Ok(()),
            Some(failure) => Err(TestCaseError::fail(failure)),
        }
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    all.into_inner()
}

/// Checks one sequence, from a new loop to its end, and returns the failure and the counts.
fn check(moves: &[Move]) -> (Option<String>, Counts) {
    let mut harness = Harness::new();
    for step in moves {
        match *step {
            Move::BetweenTurns(act) => harness.shared.act(act),
            Move::DuringWait(act) => harness.shared.queue_asleep(act),
            Move::DuringCall(act) => harness.shared.queue_in_call(act),
            Move::Turn(timeout) => harness.turn(timeout.map(Duration::from_nanos)),
            Move::Run => harness.run(),
        }
        if harness.shared.has_failed() {
            break;
        }
    }
    harness.end()
}

impl Counts {
    fn by_name(&self) -> [(&'static str, usize); 7] {
        [
            ("stop while sleeping", self.stopped_asleep),
            ("stop by a signal while sleeping", self.signalled_asleep),
            ("stop before the run", self.stopped_before_run),
            ("removed while sleeping", self.removed_asleep),
            ("nearer deadline while sleeping", self.nearer_asleep),
            ("change for the poller while sleeping", self.changed_asleep),
            ("removed while running", self.removed_running),
        ]
    }

    fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        self.stopped_asleep += other.stopped_asleep;
        self.signalled_asleep += other.signalled_asleep;
        self.stopped_before_run += other.stopped_before_run;
        self.removed_asleep += other.removed_asleep;
        self.nearer_asleep += other.nearer_asleep;
        self.changed_asleep += other.changed_asleep;
        self.removed_running += other.removed_running;
    }
}

fn one_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => act().prop_map(Move::BetweenTurns),
        6 => act().prop_map(Move::DuringWait),
        3 => act().prop_map(Move::DuringCall),
        6 => proptest::option::of(0..40u64).prop_map(Move::Turn),
        1 => Just(Move::Run),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let (fd, nth) = (0..3i32, 0..16usize);
    prop_oneof![
        3 => (fd.clone(), events()).prop_map(|(fd, interest)| Act::AddHandle { fd, interest }),
        3 => (nth.clone(), events()).prop_map(|(nth, interest)| Act::UpdateHandle { nth, interest }),
        3 => interval().prop_map(|interval| Act::AddTimeout { interval }),
        3 => (nth.clone(), interval()).prop_map(|(nth, interval)| Act::UpdateTimeout { nth, interval }),
        8 => nth.prop_map(|nth| Act::Remove { nth }),
        2 => (fd, events()).prop_map(|(fd, events)| Act::Ready { fd, events }),
        2 => (0..30u64).prop_map(Act::Advance),
        1 => Just(Act::Stop),
        1 => Just(Act::StopBySignal),
    ]
}

fn events() -> impl Strategy<Value = Events> {
    prop_oneof![1 => Just(Events::NONE), 2 => (1..16u32).prop_map(Events::from_bits_truncate)]
}

fn interval() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(0)),
        1 => Just(Some(u64::MAX)),
        8 => (1..60u64).prop_map(Some),
    ]
}
