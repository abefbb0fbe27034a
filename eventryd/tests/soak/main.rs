//! The soak test: a daemon with all services under attacks of hostile clients, while polite clients must be served.
//! Afterwards the daemon must use no more resources than before (`docs/soak.md`).
//!
//! `EVENTRY_SOAK_SECONDS` sets the duration. The actions of each client follow from a seed, which is printed, and which
//! `EVENTRY_SOAK_SEED` sets. The order in which the clients run does not follow from it.

#![cfg(not(loom))]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock limits only the duration"
)]
#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

mod hostile;
mod operator;
mod polite;
mod target;

use hostile::ATTACKS;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};
use target::{SERVICES, Target, become_other_user};
use test_support::rng::Rng;

/// The number of hostile clients.
const HOSTILE: usize = 16;
/// The memory that the daemon may use beyond that after the warm-up. The peak of its use may come late, and the
/// allocator keeps it.
const SLACK_KIB: u64 = 2048;

#[test]
fn hostile_mix_leaves_no_descriptor_and_no_thread() {
    let seconds = number("EVENTRY_SOAK_SECONDS").unwrap_or(20);
    let seed = number("EVENTRY_SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    println!("soak: seed {seed}, to run it again: EVENTRY_SOAK_SEED={seed}");
    let mut rng = Rng::new(seed);
    let target = Target::start();
    let before = target.read();
    println!("soak: at the start {before}");
    // The warm-up makes the allocations that are made once, and those of many clients that the allocator keeps.
    let warm_up = Duration::from_secs((seconds / 4).clamp(10, 60));
    mix(&target, &mut rng, warm_up);
    let warm = target.settled(before);
    println!(
        "soak: settled after {} s of warm-up: {warm}",
        warm_up.as_secs()
    );
    let counts = mix(&target, &mut rng, Duration::from_secs(seconds));
    let after = target.settled(before);
    println!("soak: settled after {seconds} s more: {after}");
    println!("soak: {counts}");
    assert!(
        after.private_kib <= warm.private_kib + SLACK_KIB,
        "{} KiB more than after the warm-up",
        after.private_kib - warm.private_kib
    );
    let log = target.stop();
    assert!(!log.contains("panicked"), "{log}");
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One run of the mix: its duration and its counts.
struct Run {
    begun: Instant,
    length: Duration,
    has_failed: AtomicBool,
    polite_sessions: Count,
    polite_calls: Count,
    attacks: [Count; ATTACKS.len()],
    reloads: Count,
    shortages: Count,
}

impl Run {
    fn is_active(&self) -> bool {
        self.begun.elapsed() < self.length && !self.has_failed.load(Ordering::Relaxed)
    }

    /// Waits, but not beyond the end of the run.
    fn pause(&self, milliseconds: usize) {
        let end = Instant::now() + Duration::from_millis(milliseconds as u64);
        while self.is_active() && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn summary(&self) -> String {
        let attacks: u64 = self.attacks.iter().map(Count::get).sum();
        format!(
            "{} polite sessions and {} calls of those that stay, none failed; {attacks} attacks of {} kinds, {} reloads, {} shortages of descriptors",
            self.polite_sessions.get(),
            self.polite_calls.get(),
            ATTACKS.len(),
            self.reloads.get(),
            self.shortages.get()
        )
    }
}

/// Ends the run when a thread of it panics.
struct FailOnPanic<'a>(&'a Run);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs all clients at once for a time; returns the summary.
fn mix(target: &Target, rng: &mut Rng, length: Duration) -> String {
    let run = Run {
        begun: Instant::now(),
        length,
        has_failed: AtomicBool::new(false),
        polite_sessions: Count::default(),
        polite_calls: Count::default(),
        attacks: Default::default(),
        reloads: Count::default(),
        shortages: Count::default(),
    };
    thread::scope(|scope| {
        for service in SERVICES {
            spawn(scope, &run, rng, move |rng, run| {
                polite::run_sessions(target, service, rng, run);
            });
            spawn(scope, &run, rng, move |rng, run| {
                polite::stay_connected(target, service, rng, run);
            });
        }
        for number in 0..HOSTILE {
            spawn(scope, &run, rng, move |rng, run| {
                become_other_user();
                run_attacks(target, number, rng, run);
            });
        }
        spawn(scope, &run, rng, |rng, run| {
            operator::run(target, rng, run);
        });
        while run.is_active() {
            run.pause(60_000);
            let seconds = run.begun.elapsed().as_secs();
            println!("soak: {seconds:5} s: {}; {}", target.read(), run.summary());
        }
    });
    for ((name, _), count) in ATTACKS.iter().zip(&run.attacks) {
        println!("soak: {:6} {name}", count.get());
    }
    run.summary()
}

fn spawn<'scope, 'run: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    run: &'run Run,
    rng: &mut Rng,
    work: impl FnOnce(&mut Rng, &Run) + Send + 'scope,
) {
    let mut rng = rng.fork();
    scope.spawn(move || {
        let _fail_on_panic = FailOnPanic(run);
        work(&mut rng, run);
    });
}

/// Runs all attacks again and again in random orders. The first attack depends on `number`, so that a short run includes
/// each of them.
fn run_attacks(target: &Target, number: usize, rng: &mut Rng, run: &Run) {
    let mut order: Vec<usize> = (0..ATTACKS.len()).collect();
    order.rotate_left(number * ATTACKS.len() / HOSTILE);
    loop {
        for kind in &order {
            if !run.is_active() {
                return;
            }
            // The daemon may close the connection at any point.
            let _ = (ATTACKS[*kind].1)(target, rng);
            run.attacks[*kind].add(1);
            run.pause(rng.below(50));
        }
        for index in 1..order.len() {
            order.swap(index, rng.below(index + 1));
        }
    }
}
