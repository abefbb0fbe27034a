//! Stopping a loop from a signal handler.

use super::EventLoop;
use crate::poller::{DefaultPoller, Poller};
use crate::registry::Registry;

/// Stops a loop, also from inside a signal handler (EV-907, EV-1107).
///
/// [`stop`](SignalStopper::stop) stores a flag and writes to a descriptor; it takes no lock, allocates
/// nothing and leaves `errno` alone unless the write fails. That holds for the pollers of the operating
/// system; [`ModelPoller`](crate::poller::model::ModelPoller) has locks of its own. Everything else about a
/// stopper, cloning and dropping included, belongs outside of the handler: keep it in a `static`, or in the
/// closure that the handler is.
///
/// A [`Stopper`](super::Stopper) is the better choice everywhere else: it wakes the loop only when it sleeps.
///
/// ```
/// use eventry::{EventLoop, SignalStopper};
/// use std::sync::OnceLock;
///
/// static STOPPER: OnceLock<SignalStopper> = OnceLock::new();
///
/// // What a handler for SIGTERM would be.
/// extern "C" fn on_signal(_signal: i32) {
///     if let Some(stopper) = STOPPER.get() {
///         stopper.stop();
///     }
/// }
///
/// let mut event_loop = EventLoop::new()?;
/// STOPPER.get_or_init(|| event_loop.signal_stopper());
/// # on_signal(15);
/// event_loop.run()?; // Returns when the signal has come.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignalStopper<P: Poller = DefaultPoller> {
    registry: Registry<P>,
}

impl<P: Poller> EventLoop<P> {
    /// A stopper of this loop that signal handlers may use.
    #[must_use]
    pub fn signal_stopper(&self) -> SignalStopper<P> {
        SignalStopper {
            registry: self.registry.clone(),
        }
    }
}

impl<P: Poller> SignalStopper<P> {
    /// Makes [`EventLoop::run`] return, exactly as [`Stopper::stop`](super::Stopper::stop) does.
    pub fn stop(&self) {
        self.registry.stop_by_signal();
    }
}

impl<P: Poller> Clone for SignalStopper<P> {
    fn clone(&self) -> SignalStopper<P> {
        SignalStopper {
            registry: self.registry.clone(),
        }
    }
}
