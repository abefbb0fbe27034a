//! What there is and what has been done.

use std::time::Duration;

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
    /// Entries that were removed and wait to be freed, or are being freed.
    pub pending_frees: usize,
    /// Turns begun.
    pub turns: u64,
    /// Callbacks called.
    pub calls: u64,
    /// Callbacks freed.
    pub frees: u64,
    /// Calls, and drops of removed callbacks, that panicked.
    pub panics: u64,
    /// How often a sleeping loop was woken for a change.
    pub wakes: u64,
    /// The longest that one callback, or the drop of what was removed, took at least, as far as it was
    /// timed. Timed are the first calls of a turn, and all once a turn has been slow.
    ///
    /// This costs a few nanoseconds because it is read from the kernel's coarse clock: the figure is too
    /// small by up to two of its ticks, of 1 to 10 ms each, and zero for what takes less.
    pub longest_callback: Duration,
    /// The longest that all calls of one turn took together at least; too small by up to one tick.
    pub longest_turn: Duration,
    /// For how long something has been due now, as far as anybody noticed; zero if nothing is. A loop that
    /// is run keeps this near zero.
    pub overdue: Duration,
}
