//! Limit for repeated log lines, so that one client cannot fill the disk.

use eventry::MonotonicTime;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Length of the window in which lines of one kind are counted.
pub const RATE_LIMIT_WINDOW: Duration = Duration::from_secs(10);

/// Limiter that allows a number of lines of each kind in each [`RATE_LIMIT_WINDOW`].
///
/// A kind is a call site in the program, so their number is bounded.
#[derive(Debug)]
pub struct RateLimiter<K> {
    /// Allowed lines per window; 0 means no limit.
    limit: u32,
    windows: HashMap<K, Window>,
    /// Earliest end of a window that has suppressed lines.
    next_end: Option<MonotonicTime>,
}

#[derive(Debug)]
struct Window {
    end: MonotonicTime,
    allowed: u32,
    suppressed: u64,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// Creates a limiter that allows `limit` lines of a kind per window; 0 means no limit.
    #[must_use]
    pub fn new(limit: u32) -> RateLimiter<K> {
        RateLimiter {
            limit,
            windows: HashMap::new(),
            next_end: None,
        }
    }

    /// Replaces the limit. It applies to the current windows too.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Returns `true` if a line of this kind may be written at `now`, and counts it.
    ///
    /// Call [`take_expired`](RateLimiter::take_expired) first: a new window of a kind keeps the
    /// count of the lines that an earlier one suppressed.
    pub fn allow(&mut self, now: MonotonicTime, kind: K) -> bool {
        if self.limit == 0 {
            return true;
        }
        let new_window = Window {
            end: now.saturating_add(RATE_LIMIT_WINDOW),
            allowed: 0,
            suppressed: 0,
        };
        let window = self.windows.entry(kind).or_insert(new_window);
        if window.end <= now {
            window.end = now.saturating_add(RATE_LIMIT_WINDOW);
            window.allowed = 0;
        }
        if window.allowed < self.limit {
            window.allowed += 1;
            return true;
        }
        window.suppressed += 1;
        let earlier = self.next_end.is_none_or(|end| window.end < end);
        if earlier {
            self.next_end = Some(window.end);
        }
        false
    }

    /// Returns each kind whose window has ended by `now`, with the number of its suppressed lines,
    /// and resets that number.
    pub fn take_expired(&mut self, now: MonotonicTime) -> Vec<(K, u64)> {
        if self.next_end.is_none_or(|end| now < end) {
            return Vec::new();
        }
        self.take_where(|window| window.end <= now)
    }

    /// Returns the same for all windows, ended or not.
    pub fn take_all(&mut self) -> Vec<(K, u64)> {
        self.take_where(|_| true)
    }

    fn take_where(&mut self, is_selected: impl Fn(&Window) -> bool) -> Vec<(K, u64)> {
        let mut taken = Vec::new();
        self.next_end = None;
        for (kind, window) in &mut self.windows {
            if window.suppressed == 0 {
                continue;
            }
            if is_selected(window) {
                taken.push((kind.clone(), std::mem::take(&mut window.suppressed)));
            } else {
                self.next_end = Some(self.next_end.map_or(window.end, |end| end.min(window.end)));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::ZERO.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn flood_of_one_kind_is_limited_and_counted() {
        let mut limiter = RateLimiter::new(3);
        let allowed = (0..1000).filter(|_| limiter.allow(at(1), 'a')).count();
        assert_eq!(allowed, 3);
        assert!(limiter.allow(at(1), 'b'));
        assert_eq!(limiter.take_expired(at(10)), []);
        assert_eq!(limiter.take_expired(at(11)), [('a', 997)]);
        assert_eq!(limiter.take_expired(at(99)), [], "returned once");
    }

    #[test]
    fn new_window_allows_lines_again() {
        let mut limiter = RateLimiter::new(1);
        for second in [0, 10, 20] {
            assert!(limiter.allow(at(second), 'a'));
            assert!(!limiter.allow(at(second + 9), 'a'));
        }
        // Counts that were not taken add up over windows.
        assert_eq!(limiter.take_expired(at(30)), [('a', 3)]);
    }

    #[test]
    fn take_expired_returns_each_window_after_its_end() {
        let mut limiter = RateLimiter::new(1);
        for (second, kind) in [(0, 'a'), (5, 'b')] {
            assert!(limiter.allow(at(second), kind));
            assert!(!limiter.allow(at(second), kind));
        }
        assert_eq!(limiter.take_expired(at(10)), [('a', 1)]);
        assert_eq!(limiter.take_expired(at(14)), []);
        assert_eq!(limiter.take_expired(at(15)), [('b', 1)]);
    }

    #[test]
    fn take_all_returns_everything_and_limit_0_allows_all() {
        let mut limiter = RateLimiter::new(1);
        assert!(limiter.allow(at(0), 'a'));
        assert!(!limiter.allow(at(0), 'a'));
        assert_eq!(limiter.take_all(), [('a', 1)]);
        limiter.set_limit(0);
        assert!((0..1000).all(|_| limiter.allow(at(0), 'a')));
        assert_eq!(limiter.take_all(), []);
    }
}
