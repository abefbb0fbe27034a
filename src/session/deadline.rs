//! What a session does because time has passed, and when.

use super::keepalive::{Silence, Watch};
use super::{Expiry, Keepalive, Session, SessionState};
use crate::time::Time;
use crate::wire::Header;
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
    /// How much had been sent when the client was last found not to have read everything.
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
    /// What has arrived in the meantime is to be [received](Self::receive) before: a loop that was held up
    /// would otherwise take its own silence for the client's (DM-908).
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
        let is_excused = reads || self.waits_for_calls();
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

#[cfg(test)]
mod tests {
    use super::super::{Auth, AuthResult, Event, Limits, Request, SessionConfig};
    use super::*;
    use crate::wire::{
        Call, FeatureArgs, FrameSplitter, HostnameRet, MAX_FRAME, Reply, write_message,
    };
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);
    const COUNT: u32 = 2;

    fn at(seconds: u32) -> Time {
        Time::ZERO.after(SECOND * seconds)
    }

    fn frame(call: &Call) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header::call(call.procedure(), 1);
        write_message(&mut bytes, header, |to| call.encode(to)).unwrap();
        bytes
    }

    fn hostname() -> Vec<u8> {
        frame(&Call::ConnectGetHostname(()))
    }

    fn pong() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_message(&mut bytes, Header::pong(), |_| {}).unwrap();
        bytes
    }

    /// A session with one call at a time, whose client has said at 0 s that it answers pings.
    fn watched() -> Session {
        let limits = Limits {
            max_client_requests: NonZeroUsize::MIN,
            ..Limits::default()
        };
        let keepalive = Keepalive {
            interval: Some(SECOND),
            count: COUNT,
        };
        let mut session = Session::new(SessionConfig {
            limits: limits.into(),
            keepalive,
            ..SessionConfig::default()
        });
        assert_eq!(session.next_deadline(), None);
        let feature = 10;
        session.receive(
            Time::ZERO,
            &frame(&Call::ConnectSupportsFeature(FeatureArgs { feature })),
        );
        assert_eq!(session.poll(), None);
        assert_eq!(sent(&mut session), [60]);
        session
    }

    /// The procedures of what is sent.
    fn sent(session: &mut Session) -> Vec<i32> {
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(session.output());
        session.advance_output(session.output().len());
        let mut procedures = Vec::new();
        while let Some(frame) = splitter.head().unwrap() {
            procedures.push(frame.header.procedure);
            splitter.consume();
        }
        procedures
    }

    fn request(session: &mut Session) -> Request {
        match session.poll() {
            Some(Event::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn answer(session: &mut Session, request: &Request) {
        let hostname = "host".into();
        let reply = Reply::ConnectGetHostname(HostnameRet { hostname });
        session.reply(request.ticket, Ok(reply));
    }

    #[test]
    fn a_client_that_does_not_ask_for_it_is_never_pinged() {
        let mut session = Session::new(SessionConfig::default());
        session.receive(Time::ZERO, &hostname());
        request(&mut session);
        assert_eq!(session.next_deadline(), None);
        session.on_time(at(1_000_000));
        assert_eq!(session.poll(), None);
        assert!(!session.wants_write());
    }

    #[test]
    fn a_silent_client_is_pinged_and_given_up_after_interval_times_count_plus_one() {
        let mut session = watched();
        for second in 1..=COUNT {
            assert_eq!(session.next_deadline(), Some(at(second)));
            session.on_time(at(second));
            assert_eq!(sent(&mut session), [Header::PING]);
        }
        session.on_time(at(COUNT + 1));
        let idle = SECOND * (COUNT + 1);
        let expired = Event::Expired(Expiry::Dead { idle });
        assert_eq!(session.poll(), Some(expired));
        assert!(session.should_close());
        assert_eq!(session.next_deadline(), None);
        assert_eq!(session.poll(), None, "it is said once");
    }

    #[test]
    fn a_loop_that_is_late_still_pings() {
        let mut session = watched();
        session.on_time(at(1).after(SECOND / 2));
        assert_eq!(sent(&mut session), [Header::PING]);
    }

    #[test]
    fn a_client_is_not_watched_once_the_daemon_stops() {
        let mut session = watched();
        session.finish();
        assert_eq!(session.next_deadline(), None);
    }

    #[test]
    fn the_end_of_a_session_is_counted_from_the_last_time_it_was_told() {
        let config = SessionConfig {
            accepted: at(100),
            ..SessionConfig::default()
        };
        let linger = Limits::default().max_linger;
        let mut session = Session::new(config.clone());
        session.end_of_input();
        assert_eq!(session.next_deadline(), Some(at(100).after(linger)));
        let mut session = Session::new(config);
        session.tell_time(at(107));
        session.end_of_input();
        assert_eq!(session.next_deadline(), Some(at(107).after(linger)));
    }

    #[test]
    fn any_byte_puts_the_ping_off() {
        let mut session = watched();
        session.on_time(at(1));
        session.on_time(at(2));
        session.receive(at(2), &pong()[..1]);
        assert_eq!(session.next_deadline(), Some(at(3)));
        session.on_time(at(4));
        assert_eq!(session.state(), SessionState::Serving);
    }

    #[test]
    fn asking_for_it_again_does_not_put_the_ping_off() {
        let mut session = watched();
        session.on_time(at(1));
        sent(&mut session);
        let feature = 10;
        let again = frame(&Call::ConnectSupportsFeature(FeatureArgs { feature }));
        session.receive(at(1), &again);
        assert_eq!(session.poll(), None);
        assert_eq!(session.next_deadline(), Some(at(2)));
    }

    /// DM-905: libvirtd reads no pong while a call blocks, and closes the connection.
    #[test]
    fn an_answering_client_throttled_at_limit_1_survives() {
        let mut session = watched();
        session.receive(Time::ZERO, &[hostname(), hostname()].concat());
        let blocked = request(&mut session);
        assert!(matches!(session.poll(), Some(Event::Throttled { .. })));
        for second in 1..100 {
            session.on_time(at(second));
            assert_eq!(sent(&mut session), [Header::PING], "second {second}");
            session.receive(at(second), &pong());
            assert_eq!(session.poll(), None);
        }
        answer(&mut session, &blocked);
        request(&mut session);
    }

    #[test]
    fn a_client_that_is_not_read_from_because_of_its_calls_is_not_given_up() {
        let mut session = watched();
        session.receive(Time::ZERO, &hostname().repeat(3));
        let blocked = request(&mut session);
        assert!(matches!(session.poll(), Some(Event::Throttled { .. })));
        assert_eq!(session.poll(), None);
        assert!(!session.wants_read());
        for second in 1..100 {
            session.on_time(at(second));
            assert_eq!(session.poll(), None);
        }
        answer(&mut session, &blocked);
        let second = request(&mut session);
        answer(&mut session, &second);
        request(&mut session);
        assert_eq!(session.poll(), None);
        assert!(session.wants_read());
        sent(&mut session);
        for second in 100..=100 + COUNT {
            assert_eq!(session.poll(), None);
            session.on_time(at(second));
        }
        let expired = session.poll();
        assert!(matches!(expired, Some(Event::Expired(Expiry::Dead { .. }))));
    }

    #[test]
    fn a_client_that_reads_a_long_answer_slowly_is_alive_and_one_that_stops_is_not() {
        let mut session = watched();
        session.receive(Time::ZERO, &hostname());
        let call = request(&mut session);
        answer(&mut session, &call);
        for second in 1..20 {
            session.on_time(at(second));
            assert_eq!(session.poll(), None);
            session.advance_output(1);
        }
        let unread = session.output().len();
        for second in 20..=21 + COUNT {
            assert_eq!(session.poll(), None, "second {second}");
            session.on_time(at(second));
            assert_eq!(session.output().len(), unread, "nothing is added to it");
        }
        let expired = session.poll();
        assert!(matches!(expired, Some(Event::Expired(Expiry::Dead { .. }))));
    }

    #[test]
    fn the_end_of_a_session_takes_5_seconds_at_most() {
        let close = frame(&Call::ConnectClose(()));
        for (half_closes, bytes) in [(true, hostname()), (false, [hostname(), close].concat())] {
            let mut session = watched();
            session.receive(at(1), &bytes);
            let call = request(&mut session);
            if half_closes {
                session.end_of_input();
            } else {
                // The close waits behind the call, which is the one that may be in progress.
                assert!(matches!(session.poll(), Some(Event::Throttled { .. })));
                answer(&mut session, &call);
                assert_eq!(session.poll(), None);
                assert_eq!(session.state(), SessionState::Closing);
            }
            assert_eq!(session.next_deadline(), Some(at(6)));
            session.on_time(Time::from_nanos(at(6).as_nanos() - 1));
            assert_eq!(session.poll(), None);
            assert!(!session.should_close());
            session.on_time(at(6));
            let expired = Event::Expired(Expiry::Unfinished);
            assert_eq!(session.poll(), Some(expired));
            assert!(session.should_close());
        }
    }

    #[test]
    fn a_client_that_stays_anonymous_is_given_up_and_one_that_does_not_is_not() {
        let config = SessionConfig {
            auth: Auth::Sasl,
            awaits_handshake: true,
            accepted: at(1),
            ..SessionConfig::default()
        };
        // The handshake, SASL or both are not over in time.
        for (handshake, sasl) in [(false, false), (true, false), (false, true)] {
            let mut session = Session::new(config.clone());
            if handshake {
                session.end_handshake();
            }
            if sasl {
                session.mark_authenticated();
            }
            session.receive(at(60), &frame(&Call::AuthList(())));
            assert_eq!(session.poll(), None);
            assert_eq!(session.next_deadline(), Some(at(61)));
            session.on_time(at(60));
            assert_eq!(session.poll(), None);
            session.on_time(at(61));
            let expired = Event::Expired(Expiry::Anonymous);
            assert_eq!(session.poll(), Some(expired));
            assert!(session.should_close());
        }
        let mut session = Session::new(config.clone());
        session.end_handshake();
        session.mark_authenticated();
        assert_eq!(session.next_deadline(), None);
        session.on_time(at(1_000));
        assert_eq!(session.poll(), None);
        let nobody_waits = Session::new(SessionConfig {
            limits: Arc::new(Limits {
                auth_timeout: Duration::ZERO,
                ..Limits::default()
            }),
            ..config
        });
        assert_eq!(nobody_waits.next_deadline(), None);
    }

    #[test]
    fn a_decision_that_comes_too_late_changes_nothing() {
        let mut session = Session::new(SessionConfig {
            auth: Auth::Polkit,
            ..SessionConfig::default()
        });
        session.receive(Time::ZERO, &frame(&Call::AuthPolkit(())));
        let Some(Event::Authenticate(asked)) = session.poll() else {
            panic!("polkit is not asked");
        };
        session.on_time(at(60));
        let expired = Event::Expired(Expiry::Anonymous);
        assert_eq!(session.poll(), Some(expired));
        session.authenticate(asked.ticket, AuthResult::Complete(None));
        assert!(session.is_anonymous() && session.should_close());
        assert_eq!(session.output(), []);
    }
}
