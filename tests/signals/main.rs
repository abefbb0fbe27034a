//! Signals that arrive while the loop waits (EV-905). The test has no harness, because the thread that runs the loop
//! must be the only one that takes signals.

#[cfg(not(loom))]
mod run;

fn main() {
    #[cfg(not(loom))]
    run::signals_do_not_prolong_the_wait();
}
