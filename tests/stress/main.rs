//! Stress test on real descriptors.
//!
//! The test runs in rounds. In a round, several threads (the fixtures), the callbacks and signals add, update and
//! remove entries, and open, duplicate and close descriptors at random, while the main thread runs the loop. The
//! invariants are checked at every call, free and result. Then the fixtures pause, and the oracle, `poll(2)`, decides
//! which handles must be called: those whose interest is ready, with exactly the ready events, and no others.
//!
//! `EVENTRY_STRESS_SECONDS` sets the duration on each backend. The steps of a fixture follow from a seed, which is
//! printed; `EVENTRY_STRESS_SEED` repeats a seed. The schedule of the threads is not repeated.
//!
//! The test has no harness, because the main thread must both take the signals and run the loop.

#[cfg(not(loom))]
mod descriptors;
#[cfg(not(loom))]
mod entries;
#[cfg(not(loom))]
mod fixture;
#[cfg(not(loom))]
mod oracle;
#[cfg(not(loom))]
mod run;

fn main() {
    #[cfg(not(loom))]
    run::run();
}
