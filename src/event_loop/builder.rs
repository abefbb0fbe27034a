//! Loops on the operating system's pollers, and the choice between these.

use super::EventLoop;
use crate::poller::{Backend, OsPoller};
use std::io;

/// Makes a loop; from [`EventLoop::builder`].
///
/// ```
/// use eventry::{Backend, EventLoop};
/// use std::time::Duration;
///
/// // The type of the loop is the same, whatever it waits with.
/// let mut event_loop: EventLoop = EventLoop::builder().backend(Backend::Poll).build()?;
/// event_loop.run_once(Some(Duration::ZERO))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes nothing before `build`"]
pub struct EventLoopBuilder {
    backend: Backend,
}

impl EventLoop<OsPoller> {
    /// A loop on the operating system's default poller, [`Backend::Epoll`].
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports, for example that there are no descriptors left.
    pub fn new() -> io::Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Makes a loop with something other than the defaults.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }
}

impl EventLoopBuilder {
    /// Waits with `backend`.
    pub fn backend(mut self, backend: Backend) -> EventLoopBuilder {
        self.backend = backend;
        self
    }

    /// The loop.
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports, for example that there are no descriptors left.
    pub fn build(self) -> io::Result<EventLoop> {
        OsPoller::new(self.backend).map(EventLoop::with_poller)
    }
}
