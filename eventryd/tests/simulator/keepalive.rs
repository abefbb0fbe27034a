//! The oracle of one client's times: when it was heard, and when it must be gone.

use crate::claims::claim;
use crate::ledger::Look;
use eventry::MonotonicTime;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct KeepaliveOracle {
    pub(crate) now: MonotonicTime,
    interval: Duration,
    count: u32,
    linger: Duration,
    /// When it must be known, if ever.
    pub(crate) known_by: Option<MonotonicTime>,
    /// When it last sent anything.
    heard: MonotonicTime,
    /// Since when it may be pinged.
    watched: Option<MonotonicTime>,
    pings: u32,
    last_ping: MonotonicTime,
    /// Since it was heard, calls were in progress or bytes unsent: it may have been excused.
    was_busy: bool,
    /// Since it was heard, the loop was late.
    pub(crate) was_late: bool,
    /// When the end of the session began.
    ending: Option<MonotonicTime>,
    /// The daemon ends the session, and decides how long that may take.
    pub(crate) is_finishing: bool,
}

impl KeepaliveOracle {
    pub(crate) fn new(
        accepted: MonotonicTime,
        auth_timeout: Duration,
        (interval, count): (Duration, u32),
        linger: Duration,
    ) -> KeepaliveOracle {
        KeepaliveOracle {
            now: accepted,
            interval,
            count,
            linger,
            known_by: (!auth_timeout.is_zero()).then(|| accepted.saturating_add(auth_timeout)),
            heard: accepted,
            watched: None,
            pings: 0,
            last_ping: accepted,
            was_busy: false,
            was_late: false,
            ending: None,
            is_finishing: false,
        }
    }

    pub(crate) fn hear(&mut self) {
        self.heard = self.now;
        self.pings = 0;
        (self.was_busy, self.was_late) = (false, false);
    }

    /// The client has said that it answers pings.
    pub(crate) fn watch(&mut self, now: MonotonicTime) {
        if !self.interval.is_zero() && self.ending.is_none() && !self.is_finishing {
            self.watched.get_or_insert(now);
        }
    }

    pub(crate) fn begin_end(&mut self, now: MonotonicTime) {
        self.ending.get_or_insert(now);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Whether it is pinged before it is taken for dead.
    pub(crate) fn is_pinged(&self) -> bool {
        self.count > 0
    }

    /// When its keepalive began to count.
    fn since(&self) -> MonotonicTime {
        self.watched
            .map_or(self.heard, |watched| watched.max(self.heard))
    }

    /// The server pings.
    pub(crate) fn ping(&mut self, id: u64) {
        claim!(
            self.is_watched(),
            "DM-901",
            "client {id} is pinged and has not asked for it"
        );
        self.pings += 1;
        let silent = self.now.saturating_duration_since(self.since());
        // Who may have been excused is pinged anew.
        let least = if self.was_busy { 1 } else { self.pings };
        claim!(
            silent >= self.interval * least && (self.pings <= self.count || self.was_busy),
            "DM-903",
            "client {id}: ping {} after {silent:?}",
            self.pings
        );
        self.last_ping = self.now;
    }

    pub(crate) fn settle(&mut self, look: Look, has_calls: bool) {
        self.was_busy |= has_calls || look.unsent > 0 || look.has_more;
    }

    /// The server has taken the client for dead.
    pub(crate) fn check_dead(&self, id: u64, arrived_unread: usize, is_full: bool) {
        let silent = self.now.saturating_duration_since(self.since());
        let needed = self.interval * (self.count + 1);
        claim!(
            self.is_watched() && silent >= needed,
            "DM-903",
            "client {id} is dead after {silent:?}, not {needed:?}"
        );
        claim!(
            arrived_unread == 0 || is_full,
            "DM-908",
            "client {id} is dead, and {arrived_unread} bytes of it have arrived"
        );
        claim!(
            self.was_busy || self.pings == self.count,
            "DM-903",
            "client {id} is dead after {} pings, not {}",
            self.pings,
            self.count
        );
        claim!(
            self.pings == 0 || self.now.saturating_duration_since(self.last_ping) >= self.interval,
            "DM-908",
            "client {id} had no time to answer the last ping"
        );
    }

    pub(crate) fn check_unfinished(&self, id: u64) {
        let took = self
            .ending
            .map(|began| self.now.saturating_duration_since(began));
        claim!(
            took.is_some_and(|took| took >= self.linger),
            "DM-809",
            "client {id}: the end was cut off after {took:?}, not {:?}",
            self.linger
        );
    }

    pub(crate) fn check_anonymous(&self, id: u64) {
        claim!(
            self.known_by.is_some_and(|by| by <= self.now),
            "DM-603",
            "client {id} had time to say who it is"
        );
    }

    /// When it must be gone at the latest, if nothing happens.
    fn must_be_gone(&self, is_anonymous: bool) -> Option<(&'static str, MonotonicTime)> {
        let known_by = self.known_by.filter(|_| is_anonymous);
        let ended_by = self.ending.map(|began| began.saturating_add(self.linger));
        let may_be_dead = self.ending.is_none() && !self.is_finishing;
        let is_silent = may_be_dead && !self.was_busy && !self.was_late;
        let dead_by = self.watched.filter(|_| is_silent);
        let dead_by = dead_by.map(|_| {
            self.since()
                .saturating_add(self.interval * (self.count + 1))
        });
        let all = [
            ("DM-603", known_by),
            ("DM-809", ended_by),
            ("DM-903", dead_by),
        ];
        let all = all.into_iter().flat_map(|(rule, at)| Some((rule, at?)));
        all.min_by_key(|(_, at)| *at)
    }

    /// Checks that the server has kept its times; `timer` is when it looks next.
    pub(crate) fn check_alive(&self, id: u64, is_anonymous: bool, timer: Option<MonotonicTime>) {
        if let Some((rule, by)) = self.must_be_gone(is_anonymous) {
            claim!(
                timer.is_some_and(|timer| timer <= by),
                rule,
                "client {id} must be gone by {by:?}, and nobody looks before {timer:?}"
            );
        }
    }
}
