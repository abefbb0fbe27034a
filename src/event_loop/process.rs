//! The check that a loop runs in the process that created it.
//!
//! A forked child that does not execute another program shares the parent's epoll and wake descriptors, and has a
//! copy of a lock that another thread may have held (EV-1105). To read the process id costs about as much as to
//! dispatch a handle, so the check is made only once per run, and before a wait for the loop's thread, which the
//! child does not have.

use super::{EventLoop, RunError};
use crate::poller::Poller;

/// The process that created a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    /// Returns the current process.
    pub(super) fn current() -> Process {
        Process(std::process::id())
    }

    /// Returns whether the current process is a forked child of the one that created the value.
    pub(super) fn is_parent(self) -> bool {
        self != Process::current()
    }
}

impl<P: Poller> EventLoop<P> {
    /// Returns an error in a forked child, where the loop must not run.
    pub(super) fn check_process(&self) -> Result<(), RunError> {
        if self.process.is_parent() {
            return Err(RunError::ForkedChild);
        }
        Ok(())
    }
}
