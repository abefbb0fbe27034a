//! What a forked child may do with its parent's loops (EV-1105): drop them, and be refused to run them.
//!
//! A program of its own, so that no other test's thread is in the middle of something when it forks. The
//! child is that of `Command`, before it executes the other program; what it finds reaches the parent as
//! the reason why that was not executed.

#[cfg(not(loom))]
mod run;

fn main() {
    #[cfg(not(loom))]
    run::run();
}
