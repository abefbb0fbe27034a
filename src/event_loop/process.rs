//! Which process a loop belongs to.
//!
//! A child that is forked and does not execute another program shares the parent's epoll and wake
//! descriptors, and copies a lock that another thread may have held (EV-1105). To ask for the process costs
//! about as much as to dispatch a handle, so it is asked where that does not matter: once per run, and
//! before a thread is waited for that the child does not have.

use super::{EventLoop, RunError};
use crate::poller::Poller;

/// The process that made a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    /// The one that asks.
    pub(super) fn current() -> Process {
        Process(std::process::id())
    }

    /// Whether this is a forked child of the one that made the value.
    pub(super) fn is_parent(self) -> bool {
        self != Process::current()
    }
}

impl<P: Poller> EventLoop<P> {
    /// Refuses to run in a forked child.
    pub(super) fn check_process(&self) -> Result<(), RunError> {
        if self.process.is_parent() {
            return Err(RunError::ForkedChild);
        }
        Ok(())
    }
}
