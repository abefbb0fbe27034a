//! The rounds.

#![allow(
    clippy::disallowed_methods,
    reason = "how long it lives is the only thing the clock decides"
)]
#![allow(clippy::print_stdout, reason = "the figures are of interest")]
#![allow(
    clippy::print_stderr,
    reason = "a failure names the seed, on whichever thread it comes"
)]

use crate::entries::Shared;
use crate::fixture::Fixture;
use crate::oracle::{Checked, check};
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
const MOVES_OF_A_ROUND: usize = 100;
/// However slow the machine is.
const LEAST_ROUNDS: u64 = 10;
/// In so many rounds the loop has slept and been woken, or it cannot.
const MOST_ROUNDS_AWAKE: u64 = 1_000;

pub(crate) fn run() {
    let seconds = number("EVENTRY_STRESS_SECONDS").unwrap_or(3);
    let seed =
        number("EVENTRY_STRESS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    println!("stress: seed {seed}, to lead it again: EVENTRY_STRESS_SEED={seed}");
    fail_at_once(seed);
    let signalled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&signalled))
        .expect("a signal that can be caught");
    let progress = watch_progress(seed);
    for backend in [Backend::Epoll, Backend::Poll] {
        live(backend, seed, Duration::from_secs(seconds), &progress);
    }
    assert!(signalled.load(Ordering::Relaxed), "no signal came");
}

fn live(backend: Backend, seed: u64, length: Duration, progress: &Sender<()>) {
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
    let mut checked = Checked::default();
    let mut wakes = 0;
    while rounds < LEAST_ROUNDS || wakes == 0 || Instant::now() < end {
        round(&mut event_loop, &mut fixtures);
        checked += check(&mut event_loop, &mut fixtures, &shared);
        rounds += 1;
        wakes = event_loop.registry().stats().wakes;
        assert!(
            wakes > 0 || rounds < MOST_ROUNDS_AWAKE,
            "the loop never slept"
        );
        progress.send(()).expect("somebody watches");
    }
    for fixture in &mut fixtures {
        fixture.remove_all();
    }
    // What callbacks have added is called once, and goes.
    while !event_loop.registry().is_idle() {
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
    let stats = event_loop.registry().stats();
    let added = shared.added.load(Ordering::Relaxed);
    assert_eq!(shared.freed.load(Ordering::Relaxed), added);
    let in_flight = shared.in_flight.load(Ordering::Relaxed);
    println!(
        "stress: {backend:?}: {rounds} rounds, {added} entries, {} calls, {} turns, {} wakes, \
         {in_flight} removals met a call; poll(2) agreed {} times, {} of them ready",
        stats.calls, stats.turns, stats.wakes, checked.asked, checked.ready,
    );
    assert!(checked.ready > 0 && checked.asked > checked.ready);
}

/// The fixtures live, and the loop runs until the last of them has made its moves.
fn round(event_loop: &mut EventLoop, fixtures: &mut [Fixture]) {
    let stopper = event_loop.stopper();
    let left = AtomicUsize::new(fixtures.len());
    thread::scope(|scope| {
        for fixture in fixtures {
            let (stopper, left) = (stopper.clone(), &left);
            scope.spawn(move || {
                fixture.live(MOVES_OF_A_ROUND);
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    stopper.stop();
                }
            });
        }
        event_loop.run().expect("nothing fails");
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Makes any panic the end, also one that the loop would catch.
fn fail_at_once(seed: u64) {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        give_up(seed);
    }));
}

/// Ends the process when no round ends any more; to be told of each that does.
fn watch_progress(seed: u64) -> Sender<()> {
    let (tell, told) = channel();
    thread::spawn(move || {
        loop {
            match told.recv_timeout(TIMEOUT) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("no round ended within {TIMEOUT:?}");
                    give_up(seed);
                }
            }
        }
    });
    tell
}

fn give_up(seed: u64) -> ! {
    eprintln!("to lead this life again: EVENTRY_STRESS_SEED={seed} cargo test --test stress");
    process::exit(101);
}
