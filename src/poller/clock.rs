//! The clock of the operating system's pollers.

use crate::time::Time;
use std::time::Instant;

/// Counts from when it was made.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            origin: monotonic_now(),
        }
    }

    pub(super) fn now(&self) -> Time {
        Time::ZERO.after(monotonic_now().duration_since(self.origin))
    }
}

/// The only place that reads the system's clock.
#[allow(clippy::disallowed_methods, reason = "this is the loop's clock")]
fn monotonic_now() -> Instant {
    Instant::now()
}
