//! Keepalive: pings to a silent client, and the decision that it is dead. The time is an argument.

use eventry::MonotonicTime;
use std::time::Duration;

/// Pings to a silent client (DM-903).
///
/// ```
/// use std::time::Duration;
/// use eventryd::session::Keepalive;
///
/// let keepalive = Keepalive::default();
/// assert_eq!(keepalive.interval, Some(Duration::from_secs(5)));
/// assert_eq!(keepalive.count, 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// The silence after which a ping is sent. With `None` or zero the server sends no pings and closes no silent
    /// client. Default 5 s (DM-904).
    pub interval: Option<Duration>,
    /// The number of pings without an answer. The client is closed one interval after the last one, that is after
    /// `interval` × (`count` + 1) of silence; with 0, after one interval without a ping. Default 5.
    pub count: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(5)),
            count: 5,
        }
    }
}

/// Keepalive of a client that has announced that it answers pings (DM-901).
#[derive(Debug)]
pub(super) struct Pinger {
    interval: Duration,
    count: u32,
    /// The number of pings left before the client is dead.
    pings_left: u32,
    /// The start of the current interval: the time of the last byte, or of the last ping.
    since: MonotonicTime,
}

/// The reaction to an interval without any byte from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// A ping is due.
    Ping,
    /// The client is dead and is to be closed.
    Dead,
}

impl Pinger {
    /// Begins at `now`; `None` if the server sends no pings.
    pub(super) fn begin(keepalive: Keepalive, now: MonotonicTime) -> Option<Pinger> {
        let interval = keepalive.interval.filter(|interval| !interval.is_zero())?;
        Some(Pinger {
            interval,
            count: keepalive.count,
            pings_left: keepalive.count,
            since: now,
        })
    }

    /// Records that the client has sent a byte.
    pub(super) fn heard(&mut self, now: MonotonicTime) {
        self.pings_left = self.count;
        self.since = now;
    }

    /// Returns the end of the current interval.
    pub(super) const fn deadline(&self) -> MonotonicTime {
        self.since.saturating_add(self.interval)
    }

    /// Returns the reaction at `now`, if the interval is over.
    ///
    /// The next interval begins at `now`, not at the deadline: after a late ping too, the client has a whole
    /// interval to answer (DM-908).
    pub(super) fn on_deadline(&mut self, now: MonotonicTime) -> Option<Silence> {
        if now < self.deadline() {
            return None;
        }
        self.since = now;
        match self.pings_left.checked_sub(1) {
            Some(left) => {
                self.pings_left = left;
                Some(Silence::Ping)
            }
            None => Some(Silence::Dead),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::ZERO.saturating_add(SECOND * u32::try_from(seconds).unwrap())
    }

    fn watch(count: u32) -> Pinger {
        let interval = Some(SECOND);
        Pinger::begin(Keepalive { interval, count }, MonotonicTime::ZERO).unwrap()
    }

    #[test]
    fn silent_peer_is_pinged_count_times_and_then_dead() {
        for count in 0..5 {
            let mut watch = watch(count);
            for second in 1..=u64::from(count) {
                assert_eq!(watch.deadline(), at(second));
                assert_eq!(watch.on_deadline(at(second)), Some(Silence::Ping));
            }
            let end = at(u64::from(count) + 1);
            assert_eq!(watch.on_deadline(end), Some(Silence::Dead));
        }
    }

    /// DM-904
    #[test]
    fn silent_peer_is_dead_after_30_seconds_by_default() {
        let mut watch = Pinger::begin(Keepalive::default(), MonotonicTime::ZERO).unwrap();
        for second in [5, 10, 15, 20, 25] {
            assert_eq!(watch.on_deadline(at(second)), Some(Silence::Ping));
        }
        assert_eq!(watch.deadline(), at(30));
        assert_eq!(watch.on_deadline(at(30)), Some(Silence::Dead));
    }

    #[test]
    fn nothing_happens_before_the_interval_is_over() {
        let mut watch = watch(0);
        assert_eq!(
            watch.on_deadline(MonotonicTime::from_nanos(999_999_999)),
            None
        );
        assert_eq!(watch.deadline(), at(1));
    }

    #[test]
    fn sign_of_life_resets_the_pings() {
        let mut watch = watch(2);
        watch.on_deadline(at(1));
        watch.on_deadline(at(2));
        watch.heard(MonotonicTime::from_nanos(2_500_000_000));
        assert_eq!(watch.deadline(), MonotonicTime::from_nanos(3_500_000_000));
        assert_eq!(watch.on_deadline(at(4)), Some(Silence::Ping));
        assert_eq!(watch.on_deadline(at(5)), Some(Silence::Ping));
        assert_eq!(watch.on_deadline(at(6)), Some(Silence::Dead));
    }

    #[test]
    fn late_ping_leaves_a_whole_interval_to_answer_it() {
        let mut watch = watch(1);
        assert_eq!(watch.on_deadline(at(60)), Some(Silence::Ping));
        assert_eq!(
            watch.on_deadline(MonotonicTime::from_nanos(60_999_999_999)),
            None
        );
        assert_eq!(watch.on_deadline(at(61)), Some(Silence::Dead));
    }

    #[test]
    fn without_an_interval_no_client_is_watched() {
        for interval in [None, Some(Duration::ZERO)] {
            let keepalive = Keepalive { interval, count: 5 };
            assert!(Pinger::begin(keepalive, MonotonicTime::ZERO).is_none());
        }
    }

    #[test]
    fn interval_beyond_the_end_of_time_never_ends() {
        let interval = Some(Duration::MAX);
        let mut watch = Pinger::begin(Keepalive { interval, count: 0 }, at(5)).unwrap();
        assert_eq!(watch.deadline(), MonotonicTime::FAR_FUTURE);
        assert_eq!(watch.on_deadline(at(1 << 30)), None);
    }
}
