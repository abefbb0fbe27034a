//! Deadlines of a session.

use super::keepalive::{Pinger, Silence};
use super::{Expiry, Keepalive, Session, SessionState};
use crate::wire::Header;
use eventry::MonotonicTime;
use std::time::Duration;

/// The times that determine the deadlines of a session.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The latest time that was passed in.
    now: MonotonicTime,
    /// The time of the last byte.
    heard: MonotonicTime,
    pings: Pings,
    /// The time at which an anonymous client is closed (DM-603).
    anonymous_until: Option<MonotonicTime>,
    /// The time at which a client in the handshake of the transport is closed (DM-603).
    handshake_until: Option<MonotonicTime>,
    /// The time at which a session that is ending is closed (DM-809).
    end: Option<MonotonicTime>,
    /// The number of sent bytes at which the transport took no more, since the last byte of the client or the last
    /// check of its silence.
    unread_at: Option<u64>,
}

/// State of keepalive.
#[derive(Debug, Default)]
enum Pings {
    /// The client is not pinged.
    #[default]
    Off,
    /// The client is pinged once it has announced that it answers pings (DM-901).
    Offered(Keepalive),
    On(Pinger),
}

impl Pings {
    const fn on(&self) -> Option<&Pinger> {
        match self {
            Pings::On(pinger) => Some(pinger),
            Pings::Off | Pings::Offered(_) => None,
        }
    }

    const fn on_mut(&mut self) -> Option<&mut Pinger> {
        match self {
            Pings::On(pinger) => Some(pinger),
            Pings::Off | Pings::Offered(_) => None,
        }
    }
}

impl Clock {
    pub(super) fn begin(
        accepted: MonotonicTime,
        auth_timeout: Duration,
        keepalive: Keepalive,
    ) -> Self {
        Self {
            now: accepted,
            pings: Pings::Offered(keepalive),
            anonymous_until: (!auth_timeout.is_zero())
                .then(|| accepted.saturating_add(auth_timeout)),
            ..Self::default()
        }
    }

    /// Begins the time for the handshake of the transport.
    pub(super) fn begin_handshake(&mut self, now: MonotonicTime, timeout: Duration) {
        self.set_time(now);
        self.handshake_until = (!timeout.is_zero()).then(|| now.saturating_add(timeout));
    }

    pub(super) const fn last_heard(&self) -> MonotonicTime {
        self.heard
    }

    /// Records bytes of the client, which show that it is alive (DM-905).
    pub(super) fn heard(&mut self, now: MonotonicTime) {
        self.set_time(now);
        self.heard = now;
        self.unread_at = None;
        if let Some(pinger) = self.pings.on_mut() {
            pinger.heard(now);
        }
    }

    /// Begins keepalive, if the server sends pings. A repetition changes nothing.
    pub(super) fn begin_keepalive(&mut self) {
        if let Pings::Offered(keepalive) = self.pings {
            let pinger = Pinger::begin(keepalive, self.now);
            self.pings = pinger.map_or(Pings::Off, Pings::On);
        }
    }

    /// Records that the transport takes nothing until the client has read; `sent` bytes were sent before.
    pub(super) fn note_unread(&mut self, sent: u64) {
        self.unread_at.get_or_insert(sent);
    }

    pub(super) fn set_time(&mut self, now: MonotonicTime) {
        self.now = self.now.max(now);
    }

    /// Ends keepalive.
    pub(super) fn end_keepalive(&mut self) {
        self.pings = Pings::Off;
    }

    /// Begins the end of the session. Nothing is read any more, so keepalive ends. The client must read the answers
    /// within `max_linger`.
    pub(super) fn begin_end(&mut self, max_linger: Duration) {
        self.pings = Pings::Off;
        self.end.get_or_insert(self.now.saturating_add(max_linger));
    }
}

impl Session {
    /// Returns the time at which [`on_deadline`](Self::on_deadline) is to be called at the latest, if any. Any other
    /// call may change it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonotonicTime> {
        if self.state == SessionState::Broken {
            return None;
        }
        let pinger = self.clock.pings.on().map(Pinger::deadline);
        let ordinary = self.clock.end.or(pinger);
        [ordinary, self.anonymous_until(), self.handshake_until()]
            .into_iter()
            .flatten()
            .min()
    }

    fn handshake_until(&self) -> Option<MonotonicTime> {
        self.clock.handshake_until.filter(|_| self.awaits_handshake)
    }

    fn anonymous_until(&self) -> Option<MonotonicTime> {
        self.clock.anonymous_until.filter(|_| self.is_anonymous())
    }

    /// Sets the time, before a call that does not take the time as an argument.
    pub fn set_time(&mut self, now: MonotonicTime) {
        self.clock.set_time(now);
    }

    /// Returns the latest time that was passed in.
    #[must_use]
    pub const fn time(&self) -> MonotonicTime {
        self.clock.now
    }

    /// Applies the deadlines that have passed at `now`; before a deadline a call changes nothing.
    /// [`poll`](Self::poll) is due afterwards.
    ///
    /// A client that has been silent for an interval is pinged. The session expires if the client has been silent for
    /// too long (DM-903), does not read its last answers (DM-809), or does not complete the handshake or the
    /// authentication in time (DM-603).
    ///
    /// Input is to be [received](Self::receive) and output is to be sent before: a delay of the loop would otherwise
    /// count as silence of the client (DM-908).
    pub fn on_deadline(&mut self, now: MonotonicTime) {
        self.clock.set_time(now);
        if self.state == SessionState::Broken {
            return;
        }
        if self.clock.end.is_some_and(|end| end <= now) {
            self.expire(Expiry::Unfinished);
            return;
        }
        let limit = self.limits.handshake_timeout;
        let limits = [
            (self.handshake_until(), Expiry::Handshake { limit }),
            (self.anonymous_until(), Expiry::Anonymous),
        ];
        let passed = limits
            .into_iter()
            .filter_map(|(until, expiry)| Some((until.filter(|until| *until <= now)?, expiry)))
            .min_by_key(|(until, _)| *until);
        if let Some((_, expiry)) = passed {
            self.expire(expiry);
            return;
        }
        if self
            .clock
            .pings
            .on()
            .is_none_or(|pinger| now < pinger.deadline())
        {
            return;
        }
        // The client is excused if its answer may be unread, or if it still reads earlier output.
        let reads = self.clock.unread_at.is_some_and(|sent| sent < self.sent);
        let is_excused = reads || self.waits_for_calls() || self.has_more();
        self.clock.unread_at = self.wants_write().then_some(self.sent);
        let Some(pinger) = self.clock.pings.on_mut() else {
            return;
        };
        if is_excused {
            pinger.heard(now);
            return;
        }
        match pinger.on_deadline(now) {
            // A ping behind unread output would only add to it.
            Some(Silence::Ping) if self.wants_write() => {}
            Some(Silence::Ping) => self.send(Header::ping(), |_| {}),
            Some(Silence::Dead) => {
                let idle = now.saturating_duration_since(self.clock.heard);
                self.expire(Expiry::Dead { idle });
            }
            None => {}
        }
    }
}
