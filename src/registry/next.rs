//! What a callback wants to happen next.

/// What becomes of a handle or timeout after its callback has returned.
///
/// A callback that returns nothing keeps its entry as it is. What a callback has done to its own entry
/// before it returns is not undone by keeping it.
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
    /// It stays as it is.
    #[default]
    Keep,
    /// It stays registered and is not called until it is updated (EV-401).
    Disable,
    /// It is removed, and its callback dropped in this turn (EV-610).
    Remove,
}

impl From<()> for Next {
    fn from((): ()) -> Next {
        Next::Keep
    }
}
