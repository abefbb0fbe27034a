//! The oracle of the deadlines of one client.

use crate::claims::claim;
use crate::ledger::Observation;
use eventry::MonotonicTime;
use eventryd::session::ClientLimits;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct KeepaliveOracle {
    pub(crate) now: MonotonicTime,
    interval: Duration,
    count: u32,
    linger: Duration,
    /// The deadline of the authentication, if there is one.
    pub(crate) auth_deadline: Option<MonotonicTime>,
    /// The deadline of the handshake, if there is one.
    handshake_deadline: Option<MonotonicTime>,
    /// The time of the last byte from the client.
    last_received: MonotonicTime,
    /// The time from which the server may send pings.
    enabled_at: Option<MonotonicTime>,
    pings: u32,
    last_ping: MonotonicTime,
    /// Since the last byte, calls were in progress or bytes unsent, so the pings may have started again.
    was_busy: bool,
    /// Since the last byte, the loop was late.
    pub(crate) was_late: bool,
    /// The time at which the session began to close.
    closing_since: Option<MonotonicTime>,
    /// The daemon drains, and limits the time of the close itself.
    pub(crate) is_draining: bool,
}

impl KeepaliveOracle {
    pub(crate) fn new(
        accepted: MonotonicTime,
        limits: &ClientLimits,
        (interval, count): (Duration, u32),
        has_handshake: bool,
    ) -> KeepaliveOracle {
        let deadline =
            |timeout: Duration| (!timeout.is_zero()).then(|| accepted.saturating_add(timeout));
        KeepaliveOracle {
            now: accepted,
            interval,
            count,
            linger: limits.max_linger,
            auth_deadline: deadline(limits.auth_timeout),
            handshake_deadline: deadline(limits.handshake_timeout).filter(|_| has_handshake),
            last_received: accepted,
            enabled_at: None,
            pings: 0,
            last_ping: accepted,
            was_busy: false,
            was_late: false,
            closing_since: None,
            is_draining: false,
        }
    }

    pub(crate) fn record_received(&mut self) {
        self.last_received = self.now;
        self.pings = 0;
        (self.was_busy, self.was_late) = (false, false);
    }

    /// Records that the client has requested keepalive.
    pub(crate) fn enable(&mut self, now: MonotonicTime) {
        if !self.interval.is_zero() && self.closing_since.is_none() && !self.is_draining {
            self.enabled_at.get_or_insert(now);
        }
    }

    pub(crate) fn begin_close(&mut self, now: MonotonicTime) {
        self.closing_since.get_or_insert(now);
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled_at.is_some()
    }

    /// Returns `true` if the client gets pings before it is closed.
    pub(crate) fn sends_pings(&self) -> bool {
        self.count > 0
    }

    /// Returns the time from which the keepalive interval counts.
    fn idle_since(&self) -> MonotonicTime {
        self.enabled_at.map_or(self.last_received, |enabled_at| {
            enabled_at.max(self.last_received)
        })
    }

    /// Records a ping of the server.
    pub(crate) fn ping(&mut self, id: u64) {
        claim!(
            self.is_enabled(),
            "DM-901",
            "client {id} gets a ping without a request for keepalive"
        );
        self.pings += 1;
        let idle = self.now.saturating_duration_since(self.idle_since());
        // The pings of a busy client may have started again.
        let least = if self.was_busy { 1 } else { self.pings };
        claim!(
            idle >= self.interval * least && (self.pings <= self.count || self.was_busy),
            "DM-903",
            "client {id}: ping {} after {idle:?}",
            self.pings
        );
        self.last_ping = self.now;
    }

    pub(crate) fn record_activity(&mut self, observed: Observation, has_calls: bool) {
        self.was_busy |= has_calls || observed.unsent > 0 || observed.has_more;
    }

    /// Checks that the keepalive was right to close the client.
    pub(crate) fn check_dead(&self, id: u64, arrived_unread: usize, is_full: bool) {
        let idle = self.now.saturating_duration_since(self.idle_since());
        let needed = self.interval * (self.count + 1);
        claim!(
            self.is_enabled() && idle >= needed,
            "DM-903",
            "client {id} is closed after {idle:?} instead of {needed:?}"
        );
        claim!(
            arrived_unread == 0 || is_full,
            "DM-908",
            "client {id} is closed with {arrived_unread} bytes unread"
        );
        claim!(
            self.was_busy || self.pings == self.count,
            "DM-903",
            "client {id} is closed after {} pings instead of {}",
            self.pings,
            self.count
        );
        claim!(
            self.pings == 0 || self.now.saturating_duration_since(self.last_ping) >= self.interval,
            "DM-908",
            "client {id} is closed before the interval after the last ping is over"
        );
    }

    pub(crate) fn check_unfinished(&self, id: u64) {
        let took = self
            .closing_since
            .map(|began| self.now.saturating_duration_since(began));
        claim!(
            took.is_some_and(|took| took >= self.linger),
            "DM-809",
            "client {id}: the close was cut off after {took:?} instead of {:?}",
            self.linger
        );
    }

    pub(crate) fn check_anonymous(&self, id: u64) {
        claim!(
            self.auth_deadline.is_some_and(|by| by <= self.now),
            "DM-603",
            "client {id} is closed before the deadline of the authentication"
        );
    }

    pub(crate) fn check_handshake(&self, id: u64, is_in_handshake: bool) {
        claim!(
            is_in_handshake && self.handshake_deadline.is_some_and(|by| by <= self.now),
            "DM-603",
            "client {id} is closed before the deadline of the handshake"
        );
    }

    /// Returns the latest time at which the client is closed if nothing more happens, with the rule.
    fn latest_close(
        &self,
        is_anonymous: bool,
        is_in_handshake: bool,
    ) -> Option<(&'static str, MonotonicTime)> {
        let auth_deadline = self.auth_deadline.filter(|_| is_anonymous);
        let handshake_deadline = self.handshake_deadline.filter(|_| is_in_handshake);
        let ended_by = self
            .closing_since
            .map(|began| began.saturating_add(self.linger));
        let may_be_dead = self.closing_since.is_none() && !self.is_draining;
        let is_idle = may_be_dead && !self.was_busy && !self.was_late;
        let dead_by = self.enabled_at.filter(|_| is_idle);
        let dead_by = dead_by.map(|_| {
            self.idle_since()
                .saturating_add(self.interval * (self.count + 1))
        });
        let all = [
            ("DM-603", auth_deadline),
            ("DM-603", handshake_deadline),
            ("DM-809", ended_by),
            ("DM-903", dead_by),
        ];
        let all = all.into_iter().flat_map(|(rule, at)| Some((rule, at?)));
        all.min_by_key(|(_, at)| *at)
    }

    /// Checks that the timer of the server, `timer`, fires no later than the client must be closed.
    pub(crate) fn check_alive(
        &self,
        id: u64,
        (is_anonymous, is_in_handshake): (bool, bool),
        timer: Option<MonotonicTime>,
    ) {
        if let Some((rule, by)) = self.latest_close(is_anonymous, is_in_handshake) {
            claim!(
                timer.is_some_and(|timer| timer <= by),
                rule,
                "client {id} must be closed by {by:?}, the timer fires at {timer:?}"
            );
        }
    }
}
