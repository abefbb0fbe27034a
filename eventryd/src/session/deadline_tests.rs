//! Tests of the deadlines of a session.

use super::{
    Auth, AuthResult, ClientLimits, Event, Expiry, Keepalive, Request, Session, SessionConfig,
    SessionState,
};
use crate::wire::{
    Call, FeatureArgs, FrameSplitter, Header, HostnameRet, MAX_FRAME, Reply, write_message,
};
use eventry::MonotonicTime;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const COUNT: u32 = 2;

fn at(seconds: u32) -> MonotonicTime {
    MonotonicTime::ZERO.saturating_add(SECOND * seconds)
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

/// Returns a session with one call at a time, whose client has requested keepalive at 0 s.
fn watched() -> Session {
    let limits = ClientLimits {
        max_client_requests: NonZeroUsize::MIN,
        ..ClientLimits::default()
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
        MonotonicTime::ZERO,
        &frame(&Call::ConnectSupportsFeature(FeatureArgs { feature })),
    );
    assert_eq!(session.poll(), None);
    assert_eq!(sent(&mut session), [60]);
    session
}

/// Returns the procedures of the messages in the output, and sends them.
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
fn client_without_the_keepalive_feature_is_never_pinged() {
    let mut session = Session::new(SessionConfig::default());
    session.receive(MonotonicTime::ZERO, &hostname());
    request(&mut session);
    assert_eq!(session.next_deadline(), None);
    session.on_deadline(at(1_000_000));
    assert_eq!(session.poll(), None);
    assert!(!session.wants_write());
}

#[test]
fn silent_client_expires_after_interval_times_count_plus_one() {
    let mut session = watched();
    for second in 1..=COUNT {
        assert_eq!(session.next_deadline(), Some(at(second)));
        session.on_deadline(at(second));
        assert_eq!(sent(&mut session), [Header::PING]);
    }
    session.on_deadline(at(COUNT + 1));
    let idle = SECOND * (COUNT + 1);
    let expired = Event::Expired(Expiry::Dead { idle });
    assert_eq!(session.poll(), Some(expired));
    assert!(session.should_close());
    assert_eq!(session.next_deadline(), None);
    assert_eq!(session.poll(), None, "the expiry is reported once");
}

#[test]
fn late_loop_still_pings() {
    let mut session = watched();
    session.on_deadline(at(1).saturating_add(SECOND / 2));
    assert_eq!(sent(&mut session), [Header::PING]);
}

#[test]
fn finish_ends_keepalive() {
    let mut session = watched();
    session.finish();
    assert_eq!(session.next_deadline(), None);
}

#[test]
fn linger_begins_at_the_latest_time_passed_in() {
    let config = SessionConfig {
        accepted: at(100),
        ..SessionConfig::default()
    };
    let linger = ClientLimits::default().max_linger;
    let mut session = Session::new(config.clone());
    session.end_of_input();
    assert_eq!(
        session.next_deadline(),
        Some(at(100).saturating_add(linger))
    );
    let mut session = Session::new(config);
    session.set_time(at(107));
    session.end_of_input();
    assert_eq!(
        session.next_deadline(),
        Some(at(107).saturating_add(linger))
    );
}

#[test]
fn any_byte_postpones_the_ping() {
    let mut session = watched();
    session.on_deadline(at(1));
    session.on_deadline(at(2));
    session.receive(at(2), &pong()[..1]);
    assert_eq!(session.next_deadline(), Some(at(3)));
    session.on_deadline(at(4));
    assert_eq!(session.state(), SessionState::Serving);
}

#[test]
fn second_request_for_keepalive_does_not_postpone_the_ping() {
    let mut session = watched();
    session.on_deadline(at(1));
    sent(&mut session);
    let feature = 10;
    let again = frame(&Call::ConnectSupportsFeature(FeatureArgs { feature }));
    session.receive(at(1), &again);
    assert_eq!(session.poll(), None);
    assert_eq!(session.next_deadline(), Some(at(2)));
}

/// DM-905: libvirtd reads no pong while a call blocks, and closes the connection.
#[test]
fn throttled_client_that_answers_pings_survives() {
    let mut session = watched();
    session.receive(MonotonicTime::ZERO, &[hostname(), hostname()].concat());
    let blocked = request(&mut session);
    assert!(matches!(session.poll(), Some(Event::Throttled { .. })));
    for second in 1..100 {
        session.on_deadline(at(second));
        assert_eq!(sent(&mut session), [Header::PING], "second {second}");
        session.receive(at(second), &pong());
        assert_eq!(session.poll(), None);
    }
    answer(&mut session, &blocked);
    request(&mut session);
}

#[test]
fn client_that_is_not_read_because_of_its_calls_survives() {
    let mut session = watched();
    session.receive(MonotonicTime::ZERO, &hostname().repeat(3));
    let blocked = request(&mut session);
    assert!(matches!(session.poll(), Some(Event::Throttled { .. })));
    assert_eq!(session.poll(), None);
    assert!(!session.wants_read());
    for second in 1..100 {
        session.on_deadline(at(second));
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
        session.on_deadline(at(second));
    }
    let expired = session.poll();
    assert!(matches!(expired, Some(Event::Expired(Expiry::Dead { .. }))));
}

/// DM-908: a late loop does not count as a silent client.
#[test]
fn client_whose_messages_wait_for_another_turn_survives() {
    let mut session = watched();
    for second in 1..=COUNT {
        session.on_deadline(at(second));
    }
    session.begin_turn();
    session.receive(at(COUNT), &pong().repeat(3));
    assert_eq!(session.poll(), None);
    assert!(session.has_more() && !session.wants_read());
    for second in 0..100 {
        session.on_deadline(at(COUNT + second));
        assert_eq!(session.poll(), None);
        assert_eq!(session.state(), SessionState::Serving);
    }
}

#[test]
fn client_survives_while_it_reads_a_long_answer() {
    let mut session = watched();
    session.receive(MonotonicTime::ZERO, &hostname());
    let call = request(&mut session);
    answer(&mut session, &call);
    for second in 1..20 {
        session.on_deadline(at(second));
        assert_eq!(session.poll(), None);
        session.advance_output(1);
    }
    let unread = session.output().len();
    for second in 20..=21 + COUNT {
        assert_eq!(session.poll(), None, "second {second}");
        session.on_deadline(at(second));
        assert_eq!(
            session.output().len(),
            unread,
            "no ping is added to unread output"
        );
    }
    let expired = session.poll();
    assert!(matches!(expired, Some(Event::Expired(Expiry::Dead { .. }))));
    // DM-906: unread output does not delay the close.
    assert!(session.should_close());
}

#[test]
fn client_that_reads_survives_without_pings() {
    let keepalive = Keepalive {
        interval: Some(SECOND),
        count: 0,
    };
    let mut session = Session::new(SessionConfig {
        keepalive,
        ..SessionConfig::default()
    });
    let feature = 10;
    let ask = Call::ConnectSupportsFeature(FeatureArgs { feature });
    session.receive(at(0), &[frame(&ask), hostname()].concat());
    let call = request(&mut session);
    answer(&mut session, &call);
    for second in 1..20 {
        session.wait_for_reader();
        session.advance_output(1);
        session.on_deadline(at(second));
        assert_eq!(session.poll(), None, "second {second}");
    }
    session.wait_for_reader();
    session.on_deadline(at(20));
    let expired = session.poll();
    assert!(matches!(expired, Some(Event::Expired(Expiry::Dead { .. }))));
}

/// Output that the client has read before its last message does not extend the time.
#[test]
fn silent_client_that_has_read_everything_expires_in_time() {
    let mut session = watched();
    session.receive(at(0), &hostname());
    let call = request(&mut session);
    answer(&mut session, &call);
    session.on_deadline(at(1));
    sent(&mut session);
    session.receive(at(1), &pong());
    assert_eq!(session.poll(), None);
    for second in 2..2 + COUNT {
        session.on_deadline(at(second));
        assert_eq!(sent(&mut session), [Header::PING], "second {second}");
    }
    session.on_deadline(at(2 + COUNT));
    let expired = session.poll();
    assert!(matches!(expired, Some(Event::Expired(Expiry::Dead { .. }))));
}

#[test]
fn end_of_a_session_takes_5_seconds_at_most() {
    let close = frame(&Call::ConnectClose(()));
    for (half_closes, bytes) in [(true, hostname()), (false, [hostname(), close].concat())] {
        let mut session = watched();
        session.receive(at(1), &bytes);
        let call = request(&mut session);
        if half_closes {
            session.end_of_input();
        } else {
            // The close waits, because the call takes the only slot in progress.
            assert!(matches!(session.poll(), Some(Event::Throttled { .. })));
            answer(&mut session, &call);
            assert_eq!(session.poll(), None);
            assert_eq!(session.state(), SessionState::Closing);
        }
        assert_eq!(session.next_deadline(), Some(at(6)));
        session.on_deadline(MonotonicTime::from_nanos(at(6).as_nanos() - 1));
        assert_eq!(session.poll(), None);
        assert!(!session.should_close());
        session.on_deadline(at(6));
        let expired = Event::Expired(Expiry::Unfinished);
        assert_eq!(session.poll(), Some(expired));
        assert!(session.should_close());
    }
}

#[test]
fn only_a_client_that_stays_anonymous_expires() {
    let config = SessionConfig {
        auth: Auth::Sasl,
        awaits_handshake: true,
        accepted: at(1),
        ..SessionConfig::default()
    };
    // The handshake, SASL or both are not complete in time. The time of the handshake itself does not run.
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
        session.on_deadline(at(60));
        assert_eq!(session.poll(), None);
        session.on_deadline(at(61));
        let expired = Event::Expired(Expiry::Anonymous);
        assert_eq!(session.poll(), Some(expired));
        assert!(session.should_close());
    }
    let mut session = Session::new(config.clone());
    session.end_handshake();
    session.mark_authenticated();
    assert_eq!(session.next_deadline(), None);
    session.on_deadline(at(1_000));
    assert_eq!(session.poll(), None);
    let nobody_waits = Session::new(SessionConfig {
        limits: Arc::new(ClientLimits {
            auth_timeout: Duration::ZERO,
            ..ClientLimits::default()
        }),
        ..config
    });
    assert_eq!(nobody_waits.next_deadline(), None);
}

#[test]
fn handshake_expires_after_its_own_time_within_the_other() {
    let session_with = |auth, handshake| {
        let mut session = Session::new(SessionConfig {
            auth: Auth::Sasl,
            awaits_handshake: true,
            accepted: at(1),
            limits: Arc::new(ClientLimits {
                auth_timeout: Duration::from_secs(auth),
                handshake_timeout: Duration::from_secs(handshake),
                ..ClientLimits::default()
            }),
            ..SessionConfig::default()
        });
        // The client had to wait for a slot.
        session.begin_handshake(at(3));
        session
    };
    let at_end = |mut session: Session, end| {
        assert_eq!(session.next_deadline(), Some(at(end)));
        session.on_deadline(MonotonicTime::from_nanos(at(end).as_nanos() - 1));
        assert_eq!(session.poll(), None);
        assert!(!session.should_close());
        session.on_deadline(at(end));
        let event = session.poll();
        assert!(session.should_close());
        event
    };
    let limit = Duration::from_secs(10);
    let (handshake, anonymous) = (Expiry::Handshake { limit }, Expiry::Anonymous);
    assert_eq!(
        handshake.to_string(),
        "TLS handshake not completed within 10 s (eventry_handshake_timeout)"
    );
    for (auth, own, end, expiry) in [
        (60, 10, 13, handshake),
        (0, 10, 13, handshake),
        (12, 10, 13, handshake),
        (11, 10, 12, anonymous),
        (60, 0, 61, anonymous),
    ] {
        let event = at_end(session_with(auth, own), end);
        assert_eq!(event, Some(Event::Expired(expiry)), "{auth} {own}");
    }
    // After the handshake, only the time of the authentication counts. Bytes do not extend the handshake.
    let mut session = session_with(60, 10);
    session.receive(at(12), &[]);
    assert_eq!(session.next_deadline(), Some(at(13)));
    session.end_handshake();
    session.on_deadline(at(13));
    assert_eq!(session.poll(), None);
    assert_eq!(at_end(session, 61), Some(Event::Expired(anonymous)));
    // Late, the earlier limit is named.
    let mut session = session_with(11, 10);
    session.on_deadline(at(100));
    assert_eq!(session.poll(), Some(Event::Expired(anonymous)));
    assert_eq!(session_with(0, 0).next_deadline(), None);
    assert_eq!(ClientLimits::default().handshake_timeout.as_secs(), 10);
}

#[test]
fn decision_after_expiry_changes_nothing() {
    let mut session = Session::new(SessionConfig {
        auth: Auth::Polkit,
        ..SessionConfig::default()
    });
    session.receive(MonotonicTime::ZERO, &frame(&Call::AuthPolkit(())));
    let Some(Event::Authenticate(asked)) = session.poll() else {
        panic!("no polkit request");
    };
    session.on_deadline(at(60));
    let expired = Event::Expired(Expiry::Anonymous);
    assert_eq!(session.poll(), Some(expired));
    session.authenticate(asked.ticket, AuthResult::Complete(None));
    assert!(session.is_anonymous() && session.should_close());
    assert_eq!(session.output(), b"");
}
