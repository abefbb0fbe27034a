//! The rounds of the test.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock decides only the duration of the test"
)]
#![allow(clippy::print_stdout, reason = "the test prints its figures")]
#![allow(
    clippy::print_stderr,
    reason = "a failure on any thread prints the seed"
)]

use crate::entries::Shared;
use crate::fixture::Fixture;
use crate::oracle::{Comparisons, check};
use eventry::{Backend, EventLoop};
use std::hash::{BuildHasher, RandomState};
use std::panic;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use test_support::rng::Rng;
use test_support::timeout::TIMEOUT;

const FIXTURES: usize = 3;
const STEPS_PER_ROUND: usize = 100;
/// Minimum number of rounds, also on a slow machine.
const MIN_ROUNDS: u64 = 10;
/// Number of rounds within which the loop must have been woken from its sleep.
const MAX_ROUNDS_WITHOUT_WAKE: u64 = 1_000;

pub(crate) fn run() {
    let seconds = number("EVENTRY_STRESS_SECONDS").unwrap_or(3);
    let seed =
        number("EVENTRY_STRESS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    println!("stress: seed {seed}, to repeat it: EVENTRY_STRESS_SEED={seed}");
    fail_at_once(seed);
    let signalled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&signalled))
        .expect("SIGUSR1 can be caught");
    let progress = watch_progress(seed);
    for backend in [Backend::Epoll, Backend::Poll] {
        stress(backend, seed, Duration::from_secs(seconds), &progress);
    }
    assert!(signalled.load(Ordering::Relaxed), "no signal arrived");
}

fn stress(backend: Backend, seed: u64, length: Duration, progress: &Sender<()>) {
    let mut event_loop = EventLoop::builder().backend(backend).build().unwrap();
    let shared = Arc::new(Shared::default());
    let in_hook = Arc::clone(&shared);
    event_loop.set_before_wait(move || in_hook.turn_begins());
    let mut seeds = Rng::new(seed);
    let mut fixtures: Vec<Fixture> = (0..FIXTURES)
        .map(|_| Fixture::new(seeds.fork(), event_loop.registry(), Arc::clone(&shared)))
        .collect();
    let end = Instant::now() + length;
    let mut rounds = 0_u64;
    let mut compared_total = Comparisons::default();
    let mut wakes = 0;
    while rounds < MIN_ROUNDS || wakes == 0 || Instant::now() < end {
        round(&mut event_loop, &mut fixtures);
        compared_total += check(&mut event_loop, &mut fixtures, &shared);
        rounds += 1;
        wakes = event_loop.registry().stats().wakes;
        assert!(
            wakes > 0 || rounds < MAX_ROUNDS_WITHOUT_WAKE,
            "the loop never slept"
        );
        progress.send(()).expect("the watching thread runs");
    }
    for fixture in &mut fixtures {
        fixture.remove_all();
    }
    // The timeouts that callbacks added remove themselves at their first call.
    while !event_loop.registry().is_idle() {
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
    let stats = event_loop.registry().stats();
    let added = shared.added.load(Ordering::Relaxed);
    assert_eq!(shared.freed.load(Ordering::Relaxed), added);
    let in_flight = shared.in_flight.load(Ordering::Relaxed);
    println!(
        "stress: {backend:?}: {rounds} rounds, {added} entries, {} calls, {} turns, {} wakes, \
         {in_flight} removals during a call; poll(2) agreed {} times, {} of them ready",
        stats.calls, stats.turns, stats.wakes, compared_total.compared, compared_total.ready,
    );
    assert!(compared_total.ready > 0 && compared_total.compared > compared_total.ready);
}

/// Runs the loop until all fixtures have made their steps.
fn round(event_loop: &mut EventLoop, fixtures: &mut [Fixture]) {
    let stopper = event_loop.stopper();
    let left = AtomicUsize::new(fixtures.len());
    thread::scope(|scope| {
        for fixture in fixtures {
            let (stopper, left) = (stopper.clone(), &left);
            scope.spawn(move || {
                fixture.run_steps(STEPS_PER_ROUND);
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    stopper.stop();
                }
            });
        }
        event_loop.run().expect("the loop does not fail");
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

/// Ends the process at any panic, including panics that the loop would catch.
fn fail_at_once(seed: u64) {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        exit_with_seed(seed);
    }));
}

/// Ends the process if no round ends within the timeout. The sender reports the end of each round.
fn watch_progress(seed: u64) -> Sender<()> {
    let (sender, received) = channel();
    thread::spawn(move || {
        loop {
            match received.recv_timeout(TIMEOUT) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("no round ended within {TIMEOUT:?}");
                    exit_with_seed(seed);
                }
            }
        }
    });
    sender
}

fn exit_with_seed(seed: u64) -> ! {
    eprintln!("to repeat this run: EVENTRY_STRESS_SEED={seed} cargo test --test stress");
    process::exit(101);
}
