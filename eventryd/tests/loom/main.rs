//! Loom models of the worker pool and of the writers of outputs: their locks, and the sleep and wake-up of their threads,
//! in every interleaving.
//!
//! This is a program without the test harness, because each model needs its own process (`test_support::models`).

#[cfg(loom)]
mod models;
#[cfg(loom)]
mod outputs;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    test_support::models::main(models::MODELS)
}

#[cfg(not(loom))]
fn main() {}
