//! Random life on real descriptors: several threads, callbacks and signals add, update, remove, open, double and
//! close as they like, while the loop runs; then all stands still, and poll(2) says who must be called.
//!
//! The life goes in rounds. In each, the fixtures, one thread each, make their moves while this thread runs
//! the loop, and what must hold at any moment is checked at every call, free and answer. Then comes the check:
//! whoever wants something that is ready by poll(2) is called, with exactly that, and nobody else is.
//!
//! `EVENTRY_STRESS_SECONDS` says how long to live on each backend. What a fixture does follows from a seed,
//! which is printed; `EVENTRY_STRESS_SEED` sets it, so that a life can be led again. The threads meet as they will.
//!
//! A program of its own: the thread that takes the signals must be the one that runs the loop.

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
