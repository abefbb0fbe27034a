//! Loom models of the lock, the sleep and the wake around the table, in every interleaving of small programs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release`, best with a separate target directory, runs these models and those of
//! the daemon. The test has no harness, because each model needs its own process (see `test_support::models`).

#[cfg(loom)]
mod batches;
#[cfg(loom)]
mod inside;
#[cfg(loom)]
mod models;
#[cfg(loom)]
mod reuse;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    test_support::models::main(models::MODELS)
}

#[cfg(not(loom))]
fn main() {}
