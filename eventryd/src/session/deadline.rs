//! What a session does because time has passed, and when.

use super::keepalive::{Silence, Watch};
use super::{Expiry, Keepalive, Session, SessionState};
use crate::wire::Header;
use eventry::Time;
use std::time::Duration;

/// What a session knows of time.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The latest time it was told.
    now: Time,
    /// When bytes last arrived.
    heard: Time,
    watching: Watching,
    /// When a client that is still anonymous is given up (DM-603).
    anonymous_until: Option<Time>,
    /// When a session that is ending is over at the latest (DM-809).
    end: Option<Time>,
    /// How much had been sent when the client was found not to have read everything, since it was last heard or
    /// its silence last looked at.
    unread_at: Option<u64>,
}

/// Whether the client is watched.
#[derive(Debug, Default)]
enum Watching {
    /// It never will be.
    #[default]
    Off,
    /// It will be, once it has said that it answers pings (DM-901).
    Offered(Keepalive),
    On(Watch),
}

impl Watching {
    const fn on(&self) -> Option<&Watch> {
        match self {
            Watching::On(watch) => Some(watch),
            Watching::Off | Watching::Offered(_) => None,
        }
    }

    const fn on_mut(&mut self) -> Option<&mut Watch> {
        match self {
            Watching::On(watch) => Some(watch),
            Watching::Off | Watching::Offered(_) => None,
        }
    }
}

impl Clock {
    pub(super) fn begin(accepted: Time, auth_timeout: Duration, keepalive: Keepalive) -> Self {
        Self {
            now: accepted,
            watching: Watching::Offered(keepalive),
            anonymous_until: (!auth_timeout.is_zero()).then(|| accepted.after(auth_timeout)),
            ..Self::default()
        }
    }

    pub(super) const fn last_heard(&self) -> Time {
        self.heard
    }

    /// Bytes have arrived: a sign of life (DM-905).
    pub(super) fn heard(&mut self, now: Time) {
        self.tell(now);
        self.heard = now;
        self.unread_at = None;
        if let Some(watch) = self.watching.on_mut() {
            watch.heard(now);
        }
    }

    /// Watches over the client from now on, if the server does so at all; repeating it is harmless.
    pub(super) fn begin_keepalive(&mut self) {
        if let Watching::Offered(keepalive) = self.watching {
            let watch = Watch::begin(keepalive, self.now);
            self.watching = watch.map_or(Watching::Off, Watching::On);
        }
    }

    /// Nothing more can be sent until the client has read what was `sent`.
    pub(super) fn note_unread(&mut self, sent: u64) {
        self.unread_at.get_or_insert(sent);
    }

    pub(super) fn tell(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Watches over the client no longer.
    pub(super) fn end_keepalive(&mut self) {
        self.watching = Watching::Off;
    }

    /// The client ends the session. It is not heard any more, so its silence says nothing from here on; but
    /// it has to read its answers in time.
    pub(super) fn begin_end(&mut self, max_linger: Duration) {
        self.watching = Watching::Off;
        self.end.get_or_insert(self.now.after(max_linger));
    }
}

impl Session {
    /// When [`on_time`](Self::on_time) is to be called at the latest, if ever. Ask again after anything else
    /// was called: the answer may be another one then.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.state == SessionState::Broken {
            return None;
        }
        let watch = self.clock.watching.on().map(Watch::deadline);
        let ordinary = self.clock.end.or(watch);
        [ordinary, self.anonymous_until()]
            .into_iter()
            .flatten()
            .min()
    }

    fn anonymous_until(&self) -> Option<Time> {
        self.clock.anonymous_until.filter(|_| self.is_anonymous())
    }

    /// Says what time it is, and no more: before anything is called that does not take the time as an argument.
    pub fn tell_time(&mut self, now: Time) {
        self.clock.tell(now);
    }

    /// Does what is due at `now`; too early does no harm. Call [`poll`](Self::poll) afterwards.
    ///
    /// A client that has been silent for an interval is pinged; one that has been silent for too long is
    /// given up (DM-903), and so is one that has ended the session and does not read its answers (DM-809),
    /// and one that is anonymous for too long (DM-603).
    ///
    /// What has arrived in the meantime is to be [received](Self::receive) before, and what can be sent is to be
    /// sent: a loop that was held up would otherwise take its own silence for the client's (DM-908).
    pub fn on_time(&mut self, now: Time) {
        self.clock.tell(now);
        if self.state == SessionState::Broken {
            return;
        }
        if self.clock.end.is_some_and(|end| end <= now) {
            self.expire(Expiry::Unfinished);
            return;
        }
        if self.anonymous_until().is_some_and(|until| until <= now) {
            self.expire(Expiry::Anonymous);
            return;
        }
        if self
            .clock
            .watching
            .on()
            .is_none_or(|watch| now < watch.deadline())
        {
            return;
        }
        // It may have answered, and we have not looked; or it is busy reading what is before the ping.
        let reads = self.clock.unread_at.is_some_and(|sent| sent < self.sent);
        let is_excused = reads || self.waits_for_calls() || self.has_more();
        self.clock.unread_at = self.wants_write().then_some(self.sent);
        let Some(watch) = self.clock.watching.on_mut() else {
            return;
        };
        if is_excused {
            watch.heard(now);
            return;
        }
        match watch.on_time(now) {
            // Behind what the client has not read it would only add to it.
            Some(Silence::Ping) if self.wants_write() => {}
            Some(Silence::Ping) => self.send(Header::ping(), |_| {}),
            Some(Silence::Dead) => {
                let idle = now.since(self.clock.heard);
                self.expire(Expiry::Dead { idle });
            }
            None => {}
        }
    }
}
