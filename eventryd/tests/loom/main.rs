//! The worker pool: the lock, the sleep of the workers and their wakes, in every interleaving of small programs.
//!
//! A program of its own, since each model needs a process of its own (see `test_support::models`).

#[cfg(loom)]
mod models;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    test_support::models::main(models::MODELS)
}

#[cfg(not(loom))]
fn main() {}
