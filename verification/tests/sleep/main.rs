//! The real loop against what it promises about its sleep, in long generated sequences: a removed entry is
//! freed, a change made while it sleeps is seen, a stop ends a run, and it is woken for nothing else.
//!
//! Everything happens on one thread: what another thread would do while the loop sleeps is done inside the
//! model poller's wait. What threads do to each other is the subject of the loom models.

mod poller;
mod world;

use eventry::Events;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::time::Duration;
use world::{Act, Met, Outside};

/// Each situation is met at least so often.
const FLOOR: usize = 1_000;

#[derive(Clone, Copy, Debug)]
enum Move {
    /// Between two turns.
    Now(Act),
    /// During the next wait.
    Asleep(Act),
    /// During the next call.
    InCall(Act),
    Turn(Option<u64>),
    Run,
}

#[test]
fn the_loop_sleeps_past_nothing_and_is_woken_for_nothing_else() {
    let cases = 10_000;
    let met = run(cases);
    println!(
        "sleep: {cases} cases of up to 200 moves, {} calls; met",
        met.calls
    );
    let mut rare = Vec::new();
    for (name, count) in met.counts() {
        println!("{count:>9} {name}");
        rare.extend((count < FLOOR).then_some(name));
    }
    assert_eq!(rare, [""; 0], "met less than {FLOOR} times");
}

/// The first of the same sequences: enough for `cargo xtask defects`.
#[test]
fn the_first_sequences_are_right() {
    run(500);
}

/// Runs so many sequences, the same ones every time.
fn run(cases: u32) -> Met {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, same);
    let all = RefCell::new(Met::default());
    let moves = proptest::collection::vec(one_move(), 0..200);
    let ran = runner.run(&moves, |moves| {
        let (broken, met) = check(&moves);
        all.borrow_mut().add(&met);
        match broken {
            None => Ok(()),
            Some(broken) => Err(TestCaseError::fail(broken)),
        }
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    all.into_inner()
}

/// Checks one sequence, from a new loop to its end.
fn check(moves: &[Move]) -> (Option<String>, Met) {
    let mut outside = Outside::new();
    for step in moves {
        match *step {
            Move::Now(act) => outside.shared.act(act),
            Move::Asleep(act) => outside.shared.later_asleep(act),
            Move::InCall(act) => outside.shared.later_in_call(act),
            Move::Turn(timeout) => outside.turn(timeout.map(Duration::from_nanos)),
            Move::Run => outside.run(),
        }
        if outside.shared.is_broken() {
            break;
        }
    }
    outside.end()
}

impl Met {
    fn counts(&self) -> [(&'static str, usize); 7] {
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

    fn add(&mut self, other: &Met) {
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
        3 => act().prop_map(Move::Now),
        6 => act().prop_map(Move::Asleep),
        3 => act().prop_map(Move::InCall),
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
