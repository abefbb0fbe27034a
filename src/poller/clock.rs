//! The clock of [`OsPoller`](super::OsPoller).

use crate::time::MonotonicTime;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use std::time::Duration;

/// A view of the system's monotonic clock whose origin is the creation of this value.
#[derive(Debug)]
pub(super) struct Clock {
    /// The time of the system's clock at the creation.
    origin: MonotonicTime,
    coarse_tick: Duration,
}

impl Clock {
    pub(super) fn new() -> Clock {
        let tick = clock_getres(ClockId::MonotonicCoarse);
        Clock {
            origin: from_timespec(clock_gettime(ClockId::Monotonic)),
            coarse_tick: tick.try_into().unwrap_or_default(),
        }
    }

    #[inline]
    pub(super) fn now(&self) -> MonotonicTime {
        self.since_origin(clock_gettime(ClockId::Monotonic))
    }

    /// Returns the time of the kernel's last clock tick, on the same clock.
    #[inline]
    pub(super) fn coarse_now(&self) -> MonotonicTime {
        self.since_origin(clock_gettime(ClockId::MonotonicCoarse))
    }

    /// Returns the interval between two clock ticks of the kernel.
    pub(super) fn coarse_tick(&self) -> Duration {
        self.coarse_tick
    }

    #[inline]
    fn since_origin(&self, now: Timespec) -> MonotonicTime {
        MonotonicTime::from_nanos(
            from_timespec(now)
                .as_nanos()
                .saturating_sub(self.origin.as_nanos()),
        )
    }
}

/// Converts a time of the system's monotonic clock, which is never negative.
#[inline]
fn from_timespec(time: Timespec) -> MonotonicTime {
    let seconds = time.tv_sec as u64;
    let nanos = time.tv_nsec as u64;
    // Wraps after 584 years.
    MonotonicTime::from_nanos(seconds.wrapping_mul(NANOS_PER_SECOND).wrapping_add(nanos))
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_clock_ticks_and_is_never_ahead() {
        let clock = Clock::new();
        assert!(clock.coarse_tick() > Duration::ZERO);
        let mut before = MonotonicTime::ZERO;
        let mut ticks = 0;
        while ticks < 3 {
            let coarse = clock.coarse_now();
            assert!(coarse <= clock.now() && coarse >= before);
            ticks += u32::from(coarse > before);
            before = coarse;
        }
    }
}
