//! Signals that arrive while the loop waits (EV-905). The process has one thread that takes them, the one
//! that runs the loop, so this is a program of its own instead of a test among others.

#[cfg(not(loom))]
mod run;

fn main() {
    #[cfg(not(loom))]
    run::signals_do_not_prolong_the_wait();
}
