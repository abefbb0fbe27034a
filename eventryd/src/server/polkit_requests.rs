//! The decision which requests to polkit may run.

use std::collections::BTreeMap;

/// The maximum number of concurrent requests of one user, if no other user has any. Each has a thread and a program.
const MAX_POLKIT_REQUESTS: usize = 32;

/// The numbers of running requests to polkit by user id. Each user with requests has an equal part of
/// [`MAX_POLKIT_REQUESTS`], at least one, so requests of one user never use up those of another.
#[derive(Debug, Default)]
pub(super) struct PolkitRequests {
    running: BTreeMap<u32, usize>,
}

impl PolkitRequests {
    /// Counts another request of the user. Returns `false` if the user already has its part of the requests.
    pub(super) fn try_begin(&mut self, uid: u32) -> bool {
        let own = self.running.get(&uid).copied().unwrap_or(0);
        let users = self.running.len() + usize::from(own == 0);
        let is_permitted = own < (MAX_POLKIT_REQUESTS / users).max(1);
        if is_permitted {
            self.running.insert(uid, own + 1);
        }
        is_permitted
    }

    /// Ends a request of the user.
    pub(super) fn end(&mut self, uid: u32) {
        if let Some(running) = self.running.get_mut(&uid) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&uid);
            }
        }
    }

    /// Returns `true` if no request runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins as many requests as possible; returns their number.
    fn begin_all(requests: &mut PolkitRequests, uid: u32) -> usize {
        (0..1_000).take_while(|_| requests.try_begin(uid)).count()
    }

    #[test]
    fn each_user_has_an_equal_part_of_the_requests() {
        let mut requests = PolkitRequests::default();
        for (uid, part) in [(7, 32), (8, 16), (9, 10), (10, 8)] {
            assert_eq!(begin_all(&mut requests, uid), part);
        }
        // The first user has more than its part now.
        for _ in 0..24 {
            requests.end(7);
            assert!(!requests.try_begin(7));
        }
        requests.end(7);
        assert!(requests.try_begin(7));
    }

    #[test]
    fn no_number_of_requests_refuses_another_user() {
        let mut requests = PolkitRequests::default();
        for uid in 0..1_000 {
            assert!(begin_all(&mut requests, uid) >= 1, "{uid}");
        }
    }

    #[test]
    fn ended_requests_leave_nothing() {
        let mut requests = PolkitRequests::default();
        for uid in [1, 2] {
            assert!(requests.try_begin(uid));
            assert!(!requests.is_empty());
        }
        for uid in [1, 2] {
            requests.end(uid);
        }
        assert!(requests.is_empty());
        requests.end(3);
        assert_eq!(begin_all(&mut requests, 1), 32);
    }
}
