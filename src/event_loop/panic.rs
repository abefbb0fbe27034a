//! The reaction to callbacks that panic.

use super::{CallbackPanic, EventLoop, RunError};
use crate::poller::Poller;
use crate::registry::trace;
use std::fmt;
use std::sync::Arc;

/// The reaction of the loop to callbacks that panic.
///
/// With each policy, the callbacks that panicked are removed and dropped, and the other callbacks of the turn are
/// called (EV-514).
///
/// ```
/// use eventry::{EventLoop, PanicPolicy};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::builder().panic_policy(PanicPolicy::Continue).build()?;
/// let registry = event_loop.registry();
/// let stopper = event_loop.stopper();
/// registry.add_timeout(Duration::ZERO, |_| -> () { panic!("an example") })?;
/// registry.add_timeout(Duration::from_millis(1), move |_| stopper.stop())?;
/// event_loop.run()?; // Returns when it is stopped.
/// assert_eq!(registry.stats().panics, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Ends the run at the end of the turn, with [`RunError::CallbackPanicked`]. The loop may be run again.
    #[default]
    Stop,
    /// Continues as if the callbacks had returned.
    Continue,
    /// Calls this hook with each panic, at the end of the turn, and continues. The loop's thread calls it without a
    /// lock; it may use the registry, and stop the loop.
    ///
    /// If the hook panics, it is not called with the other panics of the turn, and the run ends with its panic, as does
    /// the drop of a loop that calls the hook. The loop may be run again.
    Call(Arc<dyn Fn(&CallbackPanic) + Send + Sync>),
}

impl<P: Poller> EventLoop<P> {
    /// Sets the reaction of the loop to callbacks that panic.
    pub fn set_panic_policy(&mut self, policy: PanicPolicy) {
        self.panic_policy = policy;
    }

    /// Ends a turn, and applies the policy to the callbacks that panicked in it.
    pub(super) fn end_turn(&mut self) -> Result<(), RunError> {
        let panics = self.calls.take_panics();
        if panics.is_empty() {
            return Ok(());
        }
        self.apply_panic_policy(panics)
    }

    #[cold]
    fn apply_panic_policy(&self, panics: Vec<CallbackPanic>) -> Result<(), RunError> {
        self.registry.lock().stats.panics += panics.len() as u64;
        for panic in &panics {
            trace::panicked(panic);
        }
        match &self.panic_policy {
            PanicPolicy::Stop => return Err(RunError::CallbackPanicked(panics)),
            PanicPolicy::Continue => {}
            PanicPolicy::Call(hook) => panics.iter().for_each(|panic| hook(panic)),
        }
        Ok(())
    }
}

impl fmt::Debug for PanicPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PanicPolicy::Stop => "Stop",
            PanicPolicy::Continue => "Continue",
            PanicPolicy::Call(_) => "Call(..)",
        })
    }
}
