//! The shells around the table and around the plan of the workers: the lock, the sleep and the wake, in every
//! interleaving of small programs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom`, best with a target directory of its own. Each model
//! runs in a process of its own, since a deadlock that loom finds ends the process; with `--model NAME` this binary
//! is that process, with `--list` it prints the models and their floors.

#[cfg(not(loom))]
fn main() {
    println!("0 models: run with RUSTFLAGS=\"--cfg loom\"");
}

#[cfg(loom)]
#[path = "loom/harness.rs"]
mod harness;
#[cfg(loom)]
#[path = "loom/models.rs"]
mod models;
#[cfg(loom)]
#[path = "loom/workers.rs"]
mod workers;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    harness::main()
}
