//! The clock of the operating system's pollers.

use crate::time::Time;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use std::time::{Duration, Instant};

/// Counts from when it was made.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// The same instant, or a little later, as the coarse clock would say it: that is another view of the
    /// clock that [`Instant`] reads.
    coarse_origin: Duration,
    coarse_tick: Duration,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            origin: monotonic_now(),
            coarse_origin: duration(clock_gettime(ClockId::Monotonic)),
            coarse_tick: duration(clock_getres(ClockId::MonotonicCoarse)),
        }
    }

    pub(super) fn now(&self) -> Time {
        Time::ZERO.after(monotonic_now().duration_since(self.origin))
    }

    /// What time it was when the kernel last took note of it.
    pub(super) fn coarse_now(&self) -> Time {
        let now = duration(clock_gettime(ClockId::MonotonicCoarse));
        Time::ZERO.after(now.saturating_sub(self.coarse_origin))
    }

    /// How long ago that may be.
    pub(super) fn coarse_tick(&self) -> Duration {
        self.coarse_tick
    }
}

/// The only place that reads the system's clock.
#[allow(clippy::disallowed_methods, reason = "this is the loop's clock")]
fn monotonic_now() -> Instant {
    Instant::now()
}

/// A time of a clock that is never negative.
fn duration(time: Timespec) -> Duration {
    time.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_is_never_ahead_and_ticks() {
        let clock = Clock::new();
        assert!(clock.coarse_tick() > Duration::ZERO);
        let mut before = Time::ZERO;
        let mut ticks = 0;
        while ticks < 3 {
            let coarse = clock.coarse_now();
            assert!(coarse <= clock.now() && coarse >= before);
            ticks += u32::from(coarse > before);
            before = coarse;
        }
    }
}
