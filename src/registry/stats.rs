//! What there is and what has been done.

/// A snapshot of one loop: how much there is, and what it has done since it was made.
///
/// ```
/// use eventry::EventLoop;
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::new()?;
/// let registry = event_loop.registry();
/// registry.add_timeout(Duration::ZERO, |_| {})?;
/// event_loop.run_once(None)?;
/// let stats = registry.stats();
/// assert_eq!((stats.timeouts, stats.turns, stats.calls), (1, 1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Handles that are registered or wait to be freed.
    pub handles: usize,
    /// Timeouts that are registered or wait to be freed.
    pub timeouts: usize,
    /// Entries that were removed and wait to be freed.
    pub pending_frees: usize,
    /// Turns begun.
    pub turns: u64,
    /// Callbacks called.
    pub calls: u64,
    /// Callbacks freed.
    pub frees: u64,
    /// How often a sleeping loop was woken for a change.
    pub wakes: u64,
}
