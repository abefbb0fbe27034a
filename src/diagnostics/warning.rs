//! The warnings of the loop, and their limits.

use crate::events::Events;
use crate::id::{CallbackId, HandleId};
use std::fmt;
use std::time::Duration;

/// A warning about the use of a loop.
///
/// Warnings go to the hook of the loop ([`set_on_warning`](crate::EventLoop::set_on_warning)) and, with the
/// feature `tracing`, to the subscriber, at the level `WARN`. They have no other effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A callback, or the drop of removed ones, took at least [`WarningLimits::slow_callback`]. It delayed all other
    /// calls.
    SlowCallback {
        /// The callback.
        callback: CallbackId,
        /// A lower bound of its duration; see [`Stats::longest_callback`](crate::registry::Stats::longest_callback).
        took: Duration,
    },
    /// All calls of a turn together took at least [`WarningLimits::slow_callback`], and too few of them were timed to
    /// identify a slow one. The warning is given once: from then on each call is timed.
    SlowTurn {
        /// A lower bound of their duration.
        took: Duration,
    },
    /// A handle was called in many consecutive turns without progress: a hang-up or an error persists, or its callback
    /// does not consume the readiness, and the loop never sleeps (EV-309). The warning is given once per handle. A
    /// handle that always has work to do causes it, too.
    NoProgress {
        /// The handle.
        handle: HandleId,
        /// The events of its last call.
        events: Events,
        /// The number of consecutive turns.
        turns: u32,
    },
    /// Work has been due for [`WarningLimits::stalled_after`], and no thread runs the loop. The warning is given once
    /// until the loop is run.
    NotRunning {
        /// The time for which work has been overdue. Work without a deadline counts from the first check that
        /// found it.
        waited: Duration,
    },
    /// Work has been due for [`WarningLimits::stalled_after`], and a callback, a drop or a hook that does not return
    /// blocks the loop. The warning is given once until the next turn.
    Blocked {
        /// The time for which work has been overdue. Work without a deadline counts from the first check that
        /// found it.
        waited: Duration,
    },
}

/// The limits beyond which the loop warns.
///
/// ```
/// use eventry::{EventLoop, Warning, WarningLimits};
/// use std::sync::mpsc::channel;
/// use std::time::Duration;
///
/// let (sender, receiver) = channel();
/// let mut event_loop = EventLoop::builder()
///     .warning_limits(WarningLimits::default().with_slow_callback(Duration::from_millis(20)))
///     .on_warning(move |warning| sender.send(*warning).unwrap())
///     .build()?;
/// event_loop.registry().add_timeout(Duration::ZERO, |_| {
///     std::thread::sleep(Duration::from_millis(60)); // A callback should not block.
/// })?;
/// event_loop.run_once(None)?;
/// assert!(matches!(receiver.recv()?, Warning::SlowCallback { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarningLimits {
    /// The duration of a callback from which on it is slow. The default is 100 ms. With less than some tens of
    /// milliseconds, the error of up to two ticks of the clock becomes significant, and slow callbacks may be missed.
    pub slow_callback: Duration,
    /// The number of consecutive turns without a change of the table from which on a handle makes no progress. The
    /// default is 100,000.
    pub no_progress: u32,
    /// The time for which work may be due without a turn. The default is 10 s.
    pub stalled_after: Duration,
}

impl WarningLimits {
    /// Sets [`slow_callback`](WarningLimits::slow_callback).
    #[must_use]
    pub fn with_slow_callback(mut self, limit: Duration) -> WarningLimits {
        self.slow_callback = limit;
        self
    }

    /// Sets [`no_progress`](WarningLimits::no_progress).
    #[must_use]
    pub fn with_no_progress(mut self, turns: u32) -> WarningLimits {
        self.no_progress = turns;
        self
    }

    /// Sets [`stalled_after`](WarningLimits::stalled_after).
    #[must_use]
    pub fn with_stalled_after(mut self, limit: Duration) -> WarningLimits {
        self.stalled_after = limit;
        self
    }
}

impl Default for WarningLimits {
    fn default() -> WarningLimits {
        WarningLimits {
            slow_callback: Duration::from_millis(100),
            no_progress: 100_000,
            stalled_after: Duration::from_secs(10),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::SlowCallback { callback, took } => write!(f, "{callback} took {took:?}"),
            Warning::SlowTurn { took } => {
                write!(f, "the callbacks of one turn took {took:?} together")
            }
            Warning::NoProgress {
                handle,
                events,
                turns,
            } => write!(
                f,
                "the callback of {handle} was called in {turns} turns in a row, with {events:?} last"
            ),
            Warning::NotRunning { waited } => {
                write!(f, "the loop is not running: work has waited for {waited:?}")
            }
            Warning::Blocked { waited } => write!(
                f,
                "a callback blocks the loop: work has waited for {waited:?}"
            ),
        }
    }
}
