//! Loops in a forked child (EV-1105): the child may drop its parent's loops, but must not run them.
//!
//! The test has no harness, so that no thread of another test holds a lock during the fork. The child is that of
//! `Command` before it executes the other program. It reports its result as the error of the execution.

#[cfg(not(loom))]
mod run;

fn main() {
    #[cfg(not(loom))]
    run::run();
}
