//! How many lines of one kind are written, so that one client cannot fill the disk.

use eventry::Time;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How long lines of one kind are counted together.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Counts lines by kind and lets so many of each pass in [`WINDOW`].
///
/// A kind is a place in the program, so there are few.
#[derive(Debug)]
pub struct Burst<K> {
    /// 0 is no limit.
    limit: u32,
    windows: HashMap<K, Window>,
    /// When the first window ends that has suppressed something.
    next_end: Option<Time>,
}

#[derive(Debug)]
struct Window {
    end: Time,
    passed: u32,
    suppressed: u64,
}

impl<K: Clone + Eq + Hash> Burst<K> {
    /// Lets `limit` lines of a kind pass in a window; 0 lets all.
    #[must_use]
    pub fn new(limit: u32) -> Burst<K> {
        Burst {
            limit,
            windows: HashMap::new(),
            next_end: None,
        }
    }

    /// Sets another limit, from now on.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Whether a line of this kind is written now. Windows that are over are to be reported before:
    /// [`ended`](Burst::ended).
    pub fn admit(&mut self, now: Time, kind: K) -> bool {
        if self.limit == 0 {
            return true;
        }
        let begun = Window {
            end: now.after(WINDOW),
            passed: 0,
            suppressed: 0,
        };
        let window = self.windows.entry(kind).or_insert(begun);
        if window.end <= now {
            window.end = now.after(WINDOW);
            window.passed = 0;
        }
        if window.passed < self.limit {
            window.passed += 1;
            return true;
        }
        window.suppressed += 1;
        let earlier = self.next_end.is_none_or(|end| window.end < end);
        if earlier {
            self.next_end = Some(window.end);
        }
        false
    }

    /// The kinds of which lines were suppressed in a window that is over, and how many. Each is told once.
    pub fn ended(&mut self, now: Time) -> Vec<(K, u64)> {
        if self.next_end.is_none_or(|end| now < end) {
            return Vec::new();
        }
        self.take(|window| window.end <= now)
    }

    /// The same for all windows, whether they are over or not.
    pub fn end(&mut self) -> Vec<(K, u64)> {
        self.take(|_| true)
    }

    fn take(&mut self, is_over: impl Fn(&Window) -> bool) -> Vec<(K, u64)> {
        let mut told = Vec::new();
        self.next_end = None;
        for (kind, window) in &mut self.windows {
            if window.suppressed == 0 {
                continue;
            }
            if is_over(window) {
                told.push((kind.clone(), std::mem::take(&mut window.suppressed)));
            } else {
                self.next_end = Some(self.next_end.map_or(window.end, |end| end.min(window.end)));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_flood_of_one_kind_is_cut_and_counted_and_other_kinds_pass() {
        let mut burst = Burst::new(3);
        let passed = (0..1000).filter(|_| burst.admit(at(1), 'a')).count();
        assert_eq!(passed, 3);
        assert!(burst.admit(at(1), 'b'));
        assert_eq!(burst.ended(at(10)), []);
        assert_eq!(burst.ended(at(11)), [('a', 997)]);
        assert_eq!(burst.ended(at(99)), [], "told once");
    }

    #[test]
    fn a_new_window_lets_lines_pass_again() {
        let mut burst = Burst::new(1);
        for second in [0, 10, 20] {
            assert!(burst.admit(at(second), 'a'));
            assert!(!burst.admit(at(second + 9), 'a'));
        }
        // What was suppressed and not asked for is not forgotten.
        assert_eq!(burst.ended(at(30)), [('a', 3)]);
    }

    #[test]
    fn each_window_is_told_when_it_is_over() {
        let mut burst = Burst::new(1);
        for (second, kind) in [(0, 'a'), (5, 'b')] {
            assert!(burst.admit(at(second), kind));
            assert!(!burst.admit(at(second), kind));
        }
        assert_eq!(burst.ended(at(10)), [('a', 1)]);
        assert_eq!(burst.ended(at(14)), []);
        assert_eq!(burst.ended(at(15)), [('b', 1)]);
    }

    #[test]
    fn the_end_tells_everything_and_no_limit_suppresses_nothing() {
        let mut burst = Burst::new(1);
        assert!(burst.admit(at(0), 'a'));
        assert!(!burst.admit(at(0), 'a'));
        assert_eq!(burst.end(), [('a', 1)]);
        burst.set_limit(0);
        assert!((0..1000).all(|_| burst.admit(at(0), 'a')));
        assert_eq!(burst.end(), []);
    }
}
