//! The shell around the table: the lock, the sleep and the wake, in every interleaving of small programs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release`, best with a target directory of its own, runs these models and those of
//! the daemon. A program of its own, since each model needs a process of its own (see `test_support::models`).

#[cfg(loom)]
mod models;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    test_support::models::main(models::MODELS)
}

#[cfg(not(loom))]
fn main() {}
