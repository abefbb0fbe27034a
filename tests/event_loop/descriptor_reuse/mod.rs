//! Descriptors that are closed while they are registered, which callers must not do, and numbers that are reused
//! for another file (EV-1001 to EV-1003).
//!
//! Standard input is the only descriptor that safe code can close while another owner uses it: `dup2` replaces its
//! file. Since there is one standard input, the tests that use it run one after the other.

#![allow(
    clippy::disallowed_types,
    reason = "the lock serialises tests, which no model checker explores"
)]

mod closed;
mod epoll;
mod model;
mod random;
mod reopened;

use rustix::fs::{Mode, OFlags, open};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks standard input against other tests, also against those that start a process: it has a copy of the descriptor at
/// first, which keeps the file open.
pub(crate) fn standard_input() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a descriptor that both backends treat like a closed one.
fn unpollable() -> OwnedFd {
    open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}
