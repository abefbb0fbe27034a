//! Cancellation of requests whose answer is no longer needed.

use crate::sync::Mutex;
use std::fmt;

/// Cancellation of one request to an authority, from any thread.
///
/// ```
/// use eventryd::auth::Cancellation;
/// use std::sync::mpsc::channel;
///
/// let (cancelled, when_cancelled) = channel();
/// let cancellation = Cancellation::new();
/// cancellation.on_cancel(move || cancelled.send(()).unwrap());
/// cancellation.cancel();
/// assert!(cancellation.is_cancelled());
/// assert!(when_cancelled.try_recv().is_ok());
/// ```
#[derive(Default)]
pub struct Cancellation(Mutex<State>);

#[derive(Default)]
struct State {
    is_cancelled: bool,
    /// Called by the first cancellation.
    action: Option<Box<dyn FnOnce() + Send>>,
}

impl Cancellation {
    /// Creates the cancellation of a request that is not cancelled.
    #[must_use]
    pub fn new() -> Cancellation {
        Cancellation::default()
    }

    /// Cancels the request, and calls its action on this thread.
    pub fn cancel(&self) {
        let mut state = self.0.lock();
        state.is_cancelled = true;
        let action = state.action.take();
        // The action is not called under the lock.
        drop(state);
        if let Some(action) = action {
            action();
        }
    }

    /// Returns `true` after [`cancel`](Cancellation::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().is_cancelled
    }

    /// Sets the action that ends the request, such as the kill of a program. It must not block. If the request is
    /// already cancelled, the action is called at once. An earlier action is dropped.
    pub fn on_cancel(&self, action: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        if state.is_cancelled {
            drop(state);
            return action();
        }
        let earlier = state.action.replace(Box::new(action));
        drop(state);
        drop(earlier);
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn action_is_called_once_whenever_it_is_set() {
        for is_set_before in [true, false] {
            let (call, called) = channel();
            let cancellation = Cancellation::new();
            assert!(!cancellation.is_cancelled());
            if !is_set_before {
                cancellation.cancel();
            }
            cancellation.on_cancel(move || call.send(()).unwrap());
            assert_eq!(called.try_recv().is_ok(), !is_set_before);
            cancellation.cancel();
            assert_eq!(called.try_recv().is_ok(), is_set_before);
            cancellation.cancel();
            assert!(called.try_recv().is_err());
        }
    }
}
