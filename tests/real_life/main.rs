//! Random life on real descriptors: several threads, callbacks and signals add, update, remove, open, double and
//! close as they like, while the loop runs; then all stands still, and poll(2) says who must be called.
//!
//! The life goes in rounds. In each, the households, one thread each, make their moves while this thread runs
//! the loop, and what must hold at any moment is checked at every call, free and answer. Then comes a reckoning:
//! whoever wants something that is ready by poll(2) is called, with exactly that, and nobody else is.
//!
//! `EVENTRY_LIFE_SECONDS` says how long to live on each backend. What a household does follows from a seed,
//! which is printed; `EVENTRY_LIFE_SEED` sets it, so that a life can be led again. The threads meet as they will.
//!
//! A program of its own: the thread that takes the signals must be the one that runs the loop.

#![allow(
    clippy::disallowed_methods,
    reason = "how long it lives is the only thing the clock decides"
)]
#![allow(clippy::print_stdout, reason = "the figures are of interest")]
#![allow(
    clippy::print_stderr,
    reason = "a failure names the seed, on whichever thread it comes"
)]

mod descriptors;
mod entries;
mod household;
mod reckoning;
mod rng;

use entries::Shared;
use eventry::{Backend, EventLoop};
use household::Household;
use reckoning::reckon;
use rng::Rng;
use std::hash::{BuildHasher, RandomState};
use std::panic;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const HOUSEHOLDS: usize = 3;
const MOVES_OF_A_ROUND: usize = 100;
/// However slow the machine is.
const LEAST_ROUNDS: u64 = 10;
/// In so many rounds the loop has slept and been woken, or it cannot.
const MOST_ROUNDS_AWAKE: u64 = 1_000;
/// A loop that nobody wakes never ends its round. No round that goes well takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let seconds = number("EVENTRY_LIFE_SECONDS").unwrap_or(3);
    let seed = number("EVENTRY_LIFE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    println!("real life: seed {seed}, to lead it again: EVENTRY_LIFE_SEED={seed}");
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
    let mut households: Vec<Household> = (0..HOUSEHOLDS)
        .map(|_| Household::new(seeds.fork(), event_loop.registry(), Arc::clone(&shared)))
        .collect();
    let end = Instant::now() + length;
    let mut rounds = 0_u64;
    let mut reckoned = reckoning::Reckoned::default();
    let mut wakes = 0;
    while rounds < LEAST_ROUNDS || wakes == 0 || Instant::now() < end {
        round(&mut event_loop, &mut households);
        reckoned += reckon(&mut event_loop, &mut households, &shared);
        rounds += 1;
        wakes = event_loop.registry().stats().wakes;
        assert!(
            wakes > 0 || rounds < MOST_ROUNDS_AWAKE,
            "the loop never slept"
        );
        progress.send(()).expect("somebody watches");
    }
    for household in &mut households {
        household.remove_all();
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
        "real life: {backend:?}: {rounds} rounds, {added} entries, {} calls, {} turns, {} wakes, \
         {in_flight} removals met a call; poll(2) agreed {} times, {} of them ready",
        stats.calls, stats.turns, stats.wakes, reckoned.asked, reckoned.ready,
    );
    assert!(reckoned.ready > 0 && reckoned.asked > reckoned.ready);
}

/// The households live, and the loop runs until the last of them has made its moves.
fn round(event_loop: &mut EventLoop, households: &mut [Household]) {
    let stopper = event_loop.stopper();
    let left = AtomicUsize::new(households.len());
    thread::scope(|scope| {
        for household in households {
            let (stopper, left) = (stopper.clone(), &left);
            scope.spawn(move || {
                household.live(MOVES_OF_A_ROUND);
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
            match told.recv_timeout(PATIENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("no round ended within {PATIENCE:?}");
                    give_up(seed);
                }
            }
        }
    });
    tell
}

fn give_up(seed: u64) -> ! {
    eprintln!("to lead this life again: EVENTRY_LIFE_SEED={seed} cargo test --test real_life");
    process::exit(101);
}
