//! The loops that are measured inside this program: the floor, and eventry through its Rust interface.

pub(crate) mod eventry;
pub(crate) mod floor;
mod heap;
pub(crate) mod locked_floor;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// A loop, as its own thread uses it. All functions panic on an error, which ends the measurement.
pub(crate) trait Subject: Sized {
    /// Id of a handle, as a program keeps it.
    type Handle: 'static;
    /// Id of a timer, as a program keeps it.
    type Timer: Copy + Send + 'static;
    /// Part of the loop that a callback may use.
    type Inside;

    fn new() -> Self;

    /// Adds a handle that is called while the descriptor is readable, and that owns the descriptor.
    fn add<F>(&mut self, source: OwnedFd, callback: F) -> Self::Handle
    where
        F: FnMut(&Self::Inside) + Send + 'static;

    /// Adds a handle on a descriptor that the program shares with the loop.
    fn add_shared<F>(&mut self, source: &Arc<OwnedFd>, callback: F) -> Self::Handle
    where
        F: FnMut(&Self::Inside) + Send + 'static;

    /// Sets the interest of a handle: readable, and writable too if `writable` is set.
    fn update(&mut self, handle: &Self::Handle, writable: bool);

    fn remove(&mut self, handle: Self::Handle);

    /// Waits until a handle is ready or a timer is due, and makes the calls.
    fn turn(&mut self);

    /// Adds a timer that is called once.
    fn add_timer<F>(&mut self, after: Duration, callback: F) -> Self::Timer
    where
        F: FnMut() + Send + 'static;

    fn restart_timer(&mut self, timer: Self::Timer, after: Duration);

    /// Restarts a timer inside a callback.
    fn restart_inside(inside: &Self::Inside, timer: Self::Timer, after: Duration);

    fn remove_timer(&mut self, timer: Self::Timer);

    /// Returns a function for another thread. It wakes the loop, which makes the call.
    fn waker(&mut self, call: fn()) -> impl Fn() + Send + 'static;
}

/// A loop whose handles are changed by several threads.
pub(crate) trait SharedSubject: Sized {
    type Remote: Remote;

    fn new() -> Self;

    fn remote(&self) -> Self::Remote;

    /// Waits until a handle is ready, and makes the calls.
    fn turn(&mut self);
}

/// Access of any thread to a loop.
pub(crate) trait Remote: Clone + Send + 'static {
    type Handle;

    /// Adds a handle that is called while the descriptor is readable.
    fn add(&self, source: &Arc<OwnedFd>, call: fn()) -> Self::Handle;

    fn remove(&self, handle: Self::Handle);
}
