//! What the loop warns of, and from when on.

use crate::events::Events;
use crate::id::{CallbackId, HandleId};
use std::fmt;
use std::time::Duration;

/// Something that a program should not do to its loop, or not for so long.
///
/// Warnings go to the hook of the loop ([`set_on_warning`](crate::EventLoop::set_on_warning)) and, with the
/// feature `tracing`, to the subscriber, at the level `WARN`. Nothing follows from one: the loop goes on as
/// it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A callback, or the drop of removed ones, took at least [`WarningLimits::slow_callback`]. Nothing else was
    /// called meanwhile.
    SlowCallback {
        /// The callback.
        callback: CallbackId,
        /// How long it took at least; see [`Stats::longest_callback`](crate::registry::Stats::longest_callback).
        took: Duration,
    },
    /// All calls of a turn together took at least [`WarningLimits::slow_callback`], and too few of them were timed
    /// to tell which one was slow. It is said once: from then on each call is timed.
    SlowTurn {
        /// How long they took at least.
        took: Duration,
    },
    /// A handle was called in so many turns in a row, as if nobody did what it was called for: a hang-up or
    /// an error that stays, or readiness that is not used, and the loop does not come to rest (EV-309). Said
    /// once for a handle. A handle that really has so much to do looks the same.
    NoProgress {
        /// The handle.
        handle: HandleId,
        /// What it was called with last.
        events: Events,
        /// In how many turns in a row.
        turns: u32,
    },
    /// Something has been due for [`WarningLimits::stalled_after`], and no thread runs the loop. Said once until the
    /// loop is run.
    NotRunning {
        /// For how long, as far as anybody noticed.
        waited: Duration,
    },
    /// Something has been due for [`WarningLimits::stalled_after`], and the loop is held up by a callback, a drop or
    /// a hook that does not return. Said once until the next turn.
    Blocked {
        /// For how long, as far as anybody noticed.
        waited: Duration,
    },
}

/// From when on the loop warns.
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
///     std::thread::sleep(Duration::from_millis(60)); // What a callback should not do.
/// })?;
/// event_loop.run_once(None)?;
/// assert!(matches!(receiver.recv()?, Warning::SlowCallback { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarningLimits {
    /// How long a callback may take. 100 ms at first; with less than some tens of milliseconds the clock's
    /// tick begins to matter, and what is too short for it is not noticed.
    pub slow_callback: Duration,
    /// In how many turns in a row a handle may be called without a change of the table. 100,000 at first.
    pub no_progress: u32,
    /// How long something may be due without a turn. 10 s at first.
    pub stalled_after: Duration,
}

impl WarningLimits {
    /// Sets how long a callback may take.
    #[must_use]
    pub fn with_slow_callback(mut self, limit: Duration) -> WarningLimits {
        self.slow_callback = limit;
        self
    }

    /// Sets in how many turns in a row a handle may be called.
    #[must_use]
    pub fn with_no_progress(mut self, turns: u32) -> WarningLimits {
        self.no_progress = turns;
        self
    }

    /// Sets how long something may be due without a turn.
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
