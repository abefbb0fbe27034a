//! The return value of callbacks.

/// The state of a handle or timeout after its callback has returned.
///
/// A callback that returns `()` keeps its entry as it is. [`Next::Keep`] does not undo changes that the callback has
/// made to its own entry.
///
/// ```
/// use eventry::{EventLoop, Next};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::new()?;
/// let registry = event_loop.registry();
/// let mut left = 3;
/// registry.add_timeout(Duration::ZERO, move |_| {
///     left -= 1;
///     if left == 0 { Next::Remove } else { Next::Keep }
/// })?;
/// for _ in 0..3 {
///     assert!(!registry.is_idle());
///     event_loop.run_once(None)?;
/// }
/// assert!(registry.is_idle());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Next {
    /// The entry stays as it is.
    #[default]
    Keep,
    /// The entry stays registered and is not called until it is updated (EV-401).
    Disable,
    /// The entry is removed, and its callback is dropped in this turn (EV-610).
    Remove,
}

impl From<()> for Next {
    fn from((): ()) -> Next {
        Next::Keep
    }
}
