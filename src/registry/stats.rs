//! The numbers and counters of a loop.

use std::time::Duration;

/// A snapshot of one loop: its entries now, and its work since it was created.
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
    /// The number of handles that are registered or wait to be freed.
    pub handles: usize,
    /// The number of timeouts that are registered or wait to be freed.
    pub timeouts: usize,
    /// The number of removed entries that wait to be freed, or are being freed.
    pub pending_frees: usize,
    /// The number of turns begun.
    pub turns: u64,
    /// The number of callbacks called.
    pub calls: u64,
    /// The number of callbacks freed.
    pub frees: u64,
    /// The number of calls, and of drops of removed callbacks, that panicked.
    pub panics: u64,
    /// The number of times that a change woke the sleeping loop.
    pub wakes: u64,
    /// The longest measured time of one callback, or of the drop of removed callbacks in one turn. The first calls
    /// of each turn are timed, and all calls once a turn has been slow.
    ///
    /// A measurement costs a few nanoseconds, because it reads the kernel's coarse clock. The value is a lower
    /// bound: it is too small by up to two ticks of that clock, of 1 to 10 ms each, and zero for shorter times.
    pub longest_callback: Duration,
    /// The longest time of all calls of one turn together; too small by up to one tick.
    pub longest_turn: Duration,
    /// The time for which work has been overdue; zero if no work is overdue. Work without a deadline counts from
    /// the first check that found it. In a running loop the value is near zero.
    pub overdue: Duration,
}
