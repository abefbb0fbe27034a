//! Short waits of a poller that has stale registrations and cannot be recreated.
//!
//! Epoll reports a stale registration in every wait, so the loop would spin. During a pause, waits are for the wake
//! descriptor only. When it is over, or the loop is woken, the ready descriptors are reported, and the loop tries to
//! recreate the poller again as soon as it detects the stale registration again: after two reports.

use super::wake_fd::WakeFd;
use crate::time::MonotonicTime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::time::Duration;

/// The length of a pause. Ready handles are called late by as much; timeouts and other threads end the wait.
const LENGTH: Duration = Duration::from_millis(10);

/// The pause after a poller could not be recreated.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// The end of the pause, if one has begun.
    until: Option<MonotonicTime>,
}

impl Pause {
    /// Begins a pause.
    pub(super) fn begin(&mut self, now: MonotonicTime) {
        self.until = Some(now.saturating_add(LENGTH));
    }

    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        self.until.is_some()
    }

    /// Returns the time until the end of the pause, zero if it is over; `None` if none has begun.
    pub(super) fn rest(&self, now: MonotonicTime) -> Option<Duration> {
        let until = self.until?;
        Some(until.saturating_duration_since(now))
    }

    /// Waits for the rest of the pause, but not longer than `timeout`, or until `wake` is sent. Returns the timeout of
    /// the wait for the registrations: zero, or `timeout` if no pause has begun, or it was over before.
    pub(super) fn wait(
        &mut self,
        wake: &WakeFd,
        now: MonotonicTime,
        timeout: Option<Duration>,
    ) -> Option<Duration> {
        let rest = self.rest(now).filter(|rest| !rest.is_zero());
        let Some(rest) = rest else {
            self.until = None;
            return timeout;
        };
        wait_for_wake(wake, timeout.map_or(rest, |timeout| timeout.min(rest)));
        Some(Duration::ZERO)
    }
}

/// Waits until `wake` is sent, a signal arrives, or `timeout`, which is less than a second, has passed.
fn wait_for_wake(wake: &WakeFd, timeout: Duration) {
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(wake, PollFlags::IN)], Some(&limit)) {
        // The descriptor would end the following waits, too. The loop handles what it was woken for after this wait.
        Ok(_) => wake.drain(),
        Err(Errno::INTR) => {}
        // A process with an `RLIMIT_NOFILE` of 0 cannot poll any descriptor.
        Err(_) => std::thread::sleep(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    const LATER: MonotonicTime = MonotonicTime::from_nanos(1_000_000_000);

    fn begun(now: MonotonicTime) -> Pause {
        let mut pause = Pause::default();
        pause.begin(now);
        pause
    }

    #[test]
    fn rest_ends_with_the_pause() {
        let mut pause = Pause::default();
        assert_eq!(pause.rest(LATER), None);
        pause.begin(LATER);
        let after = |part| LATER.saturating_add(LENGTH / part);
        assert_eq!(pause.rest(LATER), Some(LENGTH));
        assert_eq!(pause.rest(after(2)), Some(LENGTH / 2));
        assert_eq!(pause.rest(after(1)), Some(Duration::ZERO));
    }

    #[test]
    fn wait_within_the_pause_polls_the_registrations() {
        let wake = WakeFd::new().unwrap();
        let mut pause = begun(LATER);
        for timeout in [None, Some(Duration::MAX), Some(Duration::ZERO)] {
            assert_eq!(pause.wait(&wake, LATER, timeout), Some(Duration::ZERO));
            assert!(pause.has_begun());
        }
    }

    #[test]
    fn wait_after_the_pause_has_the_callers_timeout() {
        let wake = WakeFd::new().unwrap();
        for timeout in [None, Some(Duration::from_secs(1))] {
            let mut pause = begun(MonotonicTime::ZERO);
            assert_eq!(pause.wait(&wake, LATER, timeout), timeout);
            assert!(!pause.has_begun());
        }
    }

    // Without wakes, the waits would take 99 seconds.
    #[test]
    fn wake_ends_one_wait_of_a_pause() {
        let (sender, ended) = channel();
        let wait_often = move || {
            let wake = WakeFd::new().unwrap();
            for _ in 0..100 {
                wake.wake().unwrap();
                wait_for_wake(&wake, Duration::from_millis(999));
                let zero = Timespec::default();
                let ready = poll(&mut [PollFd::new(&wake, PollFlags::IN)], Some(&zero));
                assert_eq!(ready, Ok(0), "the wake would end the next wait");
            }
            sender.send(()).unwrap();
        };
        thread::spawn(wait_often);
        let limit = Duration::from_secs(30);
        assert_eq!(ended.recv_timeout(limit), Ok(()), "waits were not woken");
    }
}
