//! The builder of loops on the operating system's pollers.

use super::{CallbackPanic, EventLoop, PanicPolicy};
use crate::diagnostics::{Warning, WarningHook, WarningLimits};
use crate::poller::{Backend, OsPoller};
use std::fmt;
use std::io;
use std::sync::Arc;

/// A builder of loops, from [`EventLoop::builder`].
///
/// ```
/// use eventry::{Backend, EventLoop};
/// use std::time::Duration;
///
/// // The type of the loop does not depend on the backend.
/// let mut event_loop: EventLoop = EventLoop::builder().backend(Backend::Poll).build()?;
/// event_loop.run_once(Some(Duration::ZERO))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder creates no loop before `build`"]
pub struct EventLoopBuilder {
    backend: Backend,
    warning_limits: WarningLimits,
    panic_policy: PanicPolicy,
    on_warning: Option<WarningHook>,
}

impl EventLoop<OsPoller> {
    /// Creates a loop on the operating system's default poller, [`Backend::Epoll`].
    ///
    /// # Errors
    ///
    /// The error of the operating system, for example that the process has too many descriptors.
    pub fn new() -> io::Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Returns a builder of a loop, with the default settings.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }
}

impl EventLoopBuilder {
    /// Sets the backend that the loop waits with.
    pub fn backend(mut self, backend: Backend) -> EventLoopBuilder {
        self.backend = backend;
        self
    }

    /// Sets the limits beyond which the loop warns.
    pub fn warning_limits(mut self, limits: WarningLimits) -> EventLoopBuilder {
        self.warning_limits = limits;
        self
    }

    /// Sets the hook that is called with each warning; see [`EventLoop::set_on_warning`].
    pub fn on_warning(
        mut self,
        hook: impl Fn(&Warning) + Send + Sync + 'static,
    ) -> EventLoopBuilder {
        self.on_warning = Some(Arc::new(hook));
        self
    }

    /// Sets the reaction of the loop to callbacks that panic. By default the run ends.
    pub fn panic_policy(mut self, policy: PanicPolicy) -> EventLoopBuilder {
        self.panic_policy = policy;
        self
    }

    /// Sets a hook that is called for each callback that panics, and lets the loop continue; see
    /// [`PanicPolicy::Call`].
    pub fn on_panic(
        self,
        hook: impl Fn(&CallbackPanic) + Send + Sync + 'static,
    ) -> EventLoopBuilder {
        self.panic_policy(PanicPolicy::Call(Arc::new(hook)))
    }

    /// Creates the loop.
    ///
    /// # Errors
    ///
    /// The error of the operating system, for example that the process has too many descriptors.
    pub fn build(self) -> io::Result<EventLoop> {
        let mut event_loop = OsPoller::new(self.backend).map(EventLoop::with_poller)?;
        event_loop.set_warning_limits(self.warning_limits);
        event_loop.set_panic_policy(self.panic_policy);
        if let Some(hook) = self.on_warning {
            event_loop.registry.set_warning_hook(hook);
        }
        Ok(event_loop)
    }
}

impl fmt::Debug for EventLoopBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoopBuilder")
            .field("backend", &self.backend)
            .field("warning_limits", &self.warning_limits)
            .field("panic_policy", &self.panic_policy)
            .finish_non_exhaustive()
    }
}
