//! Descriptors that are closed while they are watched, which callers must not do, and numbers that are used again
//! for another file (EV-1001 to EV-1003).
//!
//! The one descriptor that can be closed under its owner without `unsafe` is standard input: another file is put
//! in its place. As there is one standard input, the tests that use it take turns.

#![allow(
    clippy::disallowed_types,
    reason = "the tests take turns, and no model checker looks at that"
)]

mod closed;
mod epoll;
mod model;
mod random;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps other tests from standard input.
fn standard_input() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
