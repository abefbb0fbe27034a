//! Points in time as plain values. This module reads no clock.
//!
//! A [`MonotonicTime`] is a number of nanoseconds since an origin that depends on the clock. Modules without
//! I/O receive the time as an argument, so that tests, the model checker and the fuzz targets control it.

use std::time::Duration;

/// A point on a monotonic clock, in nanoseconds since that clock's origin.
///
/// Addition saturates at [`MonotonicTime::FAR_FUTURE`] and never wraps around (EV-810).
///
/// ```
/// use std::time::Duration;
/// use eventry::MonotonicTime;
///
/// let now = MonotonicTime::from_nanos(1_000);
/// assert_eq!(now.saturating_add(Duration::from_nanos(5)), MonotonicTime::from_nanos(1_005));
/// assert_eq!(now.saturating_add(Duration::MAX), MonotonicTime::FAR_FUTURE);
/// assert_eq!(now.checked_sub(Duration::from_nanos(400)), Some(MonotonicTime::from_nanos(600)));
/// assert_eq!(now.checked_sub(Duration::from_secs(1)), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicTime(u64);

impl MonotonicTime {
    /// The origin of the clock.
    pub const ZERO: MonotonicTime = MonotonicTime(0);
    /// The latest representable point, about 584 years after the origin.
    pub const FAR_FUTURE: MonotonicTime = MonotonicTime(u64::MAX);

    /// Creates the point `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> MonotonicTime {
        MonotonicTime(nanos)
    }

    /// Returns the number of nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the point `interval` later, or [`MonotonicTime::FAR_FUTURE`] if that is not representable.
    #[must_use]
    #[inline]
    pub const fn saturating_add(self, interval: Duration) -> MonotonicTime {
        MonotonicTime(self.0.saturating_add(whole_nanos(interval)))
    }

    /// Returns the point `interval` earlier, or `None` if that is before the origin.
    #[must_use]
    #[inline]
    pub const fn checked_sub(self, interval: Duration) -> Option<MonotonicTime> {
        match self.0.checked_sub(whole_nanos(interval)) {
            Some(nanos) => Some(MonotonicTime(nanos)),
            None => None,
        }
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is later than `self`.
    #[must_use]
    #[inline]
    pub const fn saturating_duration_since(self, earlier: MonotonicTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Returns an interval in nanoseconds, at most [`u64::MAX`].
#[inline]
pub(crate) const fn whole_nanos(interval: Duration) -> u64 {
    // `Duration::as_nanos` uses 128-bit arithmetic, which takes more instructions.
    let seconds = interval.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(interval.subsec_nanos() as u64)
}
