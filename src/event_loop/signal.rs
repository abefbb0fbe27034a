//! The stop of a loop from a signal handler.

use super::EventLoop;
use crate::poller::{DefaultPoller, Poller};
use crate::registry::Registry;

/// A reference to a loop that stops it, also inside a signal handler (EV-907, EV-1107).
///
/// [`stop`](SignalStopper::stop) stores a flag and writes to a descriptor; it takes no lock, allocates nothing, and
/// changes `errno` only if the write fails. That holds for the pollers of the operating system;
/// [`ModelPoller`](crate::poller::model::ModelPoller) takes locks of its own. No other operation on a stopper, not even
/// clone and drop, is allowed inside the handler: keep the stopper in a `static`, or in the closure of the handler.
///
/// Everywhere else, use a [`Stopper`](super::Stopper), which wakes the loop only if it sleeps.
///
/// ```
/// use eventry::{EventLoop, SignalStopper};
/// use std::sync::OnceLock;
///
/// static STOPPER: OnceLock<SignalStopper> = OnceLock::new();
///
/// // A handler for SIGTERM.
/// extern "C" fn on_signal(_signal: i32) {
///     if let Some(stopper) = STOPPER.get() {
///         stopper.stop();
///     }
/// }
///
/// let mut event_loop = EventLoop::new()?;
/// STOPPER.get_or_init(|| event_loop.signal_stopper());
/// # on_signal(15);
/// event_loop.run()?; // Returns after the signal.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignalStopper<P: Poller = DefaultPoller> {
    registry: Registry<P>,
}

impl<P: Poller> EventLoop<P> {
    /// Returns a stopper of this loop for signal handlers.
    #[must_use]
    pub fn signal_stopper(&self) -> SignalStopper<P> {
        SignalStopper {
            registry: self.registry.clone(),
        }
    }
}

impl<P: Poller> SignalStopper<P> {
    /// Stops the loop, as [`Stopper::stop`](super::Stopper::stop) does.
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
