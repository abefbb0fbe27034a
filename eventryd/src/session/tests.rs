//! Tests of calls that are not answered at once: throttling, pings during calls, and the end of a session.

use std::num::NonZeroUsize;

use super::answer::FEATURE_KEEPALIVE;
use super::*;
use crate::wire::{
    AuthListRet, Call, FeatureArgs, HostnameRet, MAX_FRAME, MIN_FRAME, Xdr, write_message,
};

const CALLS: usize = 2;

/// Returns a session with at most two calls in progress and the limit `max_output` of unsent bytes.
fn session(max_output: usize) -> Session {
    let limits = ClientLimits {
        max_client_requests: NonZeroUsize::new(CALLS).unwrap(),
        max_output: NonZeroUsize::new(max_output).unwrap(),
        ..ClientLimits::default()
    };
    Session::new(SessionConfig {
        limits: limits.into(),
        ..SessionConfig::default()
    })
}

fn frame(call: &Call, serial: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header::call(call.procedure(), serial);
    write_message(&mut bytes, header, |to| call.encode(to)).unwrap();
    bytes
}

fn hostname(serial: u32) -> Vec<u8> {
    frame(&Call::ConnectGetHostname(()), serial)
}

fn ping() -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, Header::ping(), |_| {}).unwrap();
    bytes
}

fn open(flags: u32) -> Vec<u8> {
    let name = Some("test:///default".into());
    frame(
        &Call::ConnectOpen(crate::wire::ConnectOpenArgs { name, flags }),
        0,
    )
}

fn request(session: &mut Session) -> Option<Request> {
    match session.poll() {
        Some(Event::Request(request)) => Some(request),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

fn answer(session: &mut Session, request: &Request) {
    let reply = Reply::ConnectGetHostname(HostnameRet {
        hostname: "host".into(),
    });
    session.reply(request.ticket, Ok(reply));
}

/// Returns the procedures and serials of the messages in the output, and sends them.
fn sent(session: &mut Session) -> Vec<(i32, u32)> {
    let mut splitter = FrameSplitter::new(MAX_FRAME);
    splitter.push(session.output());
    session.advance_output(session.output().len());
    let mut seen = Vec::new();
    while let Some(frame) = splitter.head().unwrap() {
        seen.push((frame.header.procedure, frame.header.serial));
        splitter.consume();
    }
    seen
}

#[test]
fn call_above_the_limit_waits_for_one_to_end() {
    let mut session = session(1 << 20);
    session.receive(
        MonotonicTime::ZERO,
        &[hostname(1), hostname(2), hostname(3), hostname(4)].concat(),
    );
    let first = request(&mut session).unwrap();
    let second = request(&mut session).unwrap();
    assert_eq!(
        session.poll(),
        Some(Event::Throttled { in_progress: CALLS })
    );
    assert_eq!(session.poll(), None);
    assert!(
        !session.wants_read(),
        "a complete call waits behind the parked one"
    );

    answer(&mut session, &second);
    let third = request(&mut session).unwrap();
    assert_eq!(third.serial, 3);
    assert_eq!(
        request(&mut session),
        None,
        "throttling is reported only once"
    );
    assert!(
        session.wants_read(),
        "the fourth call is parked, and no input follows it"
    );
    answer(&mut session, &first);
    answer(&mut session, &third);
    let fourth = request(&mut session).unwrap();
    answer(&mut session, &fourth);
    assert_eq!(request(&mut session), None);
    assert_eq!(sent(&mut session), [(59, 2), (59, 1), (59, 3), (59, 4)]);
}

#[test]
fn ping_overtakes_calls_and_the_skipped_message() {
    let mut session = session(1 << 20);
    session.receive(
        MonotonicTime::ZERO,
        &[hostname(1), hostname(2), ping(), hostname(3)].concat(),
    );
    let calls = [
        request(&mut session).unwrap(),
        request(&mut session).unwrap(),
    ];
    assert_eq!(
        session.poll(),
        Some(Event::Throttled { in_progress: CALLS })
    );
    assert_eq!(request(&mut session), None);
    assert_eq!(sent(&mut session), [(Header::PONG, 0)]);
    assert!(session.wants_read(), "another ping may arrive");

    let twice = [ping(), ping()].concat();
    let (head, rest) = twice.split_at(40);
    session.receive(MonotonicTime::ZERO, head);
    assert_eq!(request(&mut session), None);
    assert!(session.wants_read(), "half a message may be a ping");
    session.receive(MonotonicTime::ZERO, rest);
    assert_eq!(request(&mut session), None);
    assert_eq!(sent(&mut session), [(Header::PONG, 0); 2]);

    session.receive(MonotonicTime::ZERO, &hostname(4));
    assert_eq!(request(&mut session), None);
    assert!(!session.wants_read(), "one call is parked at most");
    calls.iter().for_each(|call| answer(&mut session, call));
    assert_eq!(request(&mut session).unwrap().serial, 3);
    assert_eq!(request(&mut session).unwrap().serial, 4);
}

#[test]
fn call_that_the_session_answers_waits_for_its_turn() {
    let mut session = session(1 << 20);
    session.receive(
        MonotonicTime::ZERO,
        &[hostname(1), hostname(2), frame(&Call::AuthList(()), 3)].concat(),
    );
    let first = request(&mut session).unwrap();
    request(&mut session).unwrap();
    assert_eq!(
        session.poll(),
        Some(Event::Throttled { in_progress: CALLS })
    );
    assert_eq!(sent(&mut session), []);
    answer(&mut session, &first);
    assert_eq!(request(&mut session), None);
    assert_eq!(sent(&mut session), [(59, 1), (66, 3)]);
}

#[test]
fn no_call_overtakes_an_open() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &[open(1), hostname(1)].concat());
    let opening = request(&mut session).unwrap();
    assert_eq!(request(&mut session), None);
    assert_eq!(session.access(), Access::ReadWrite);
    session.reply(opening.ticket, Ok(Reply::ConnectOpen(())));
    assert_eq!(session.access(), Access::ReadOnly);
    assert_eq!(request(&mut session).unwrap().serial, 1);
}

#[test]
fn open_is_handed_out_with_the_flags_that_apply() {
    for (access, flags, expected) in [
        (Access::ReadWrite, 0xffff_fffe, 0),
        (Access::ReadWrite, 0xffff_ffff, 1),
        (Access::ReadOnly, 0, 1),
    ] {
        let mut session = Session::new(SessionConfig {
            access,
            ..SessionConfig::default()
        });
        session.receive(MonotonicTime::ZERO, &open(flags));
        match request(&mut session).unwrap().call {
            Call::ConnectOpen(args) => assert_eq!(args.flags, expected, "{access:?} {flags:#x}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn failed_open_leaves_the_access_unchanged() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &open(1));
    let opening = request(&mut session).unwrap();
    session.reply(opening.ticket, Err(RemoteError::rpc("no")));
    assert_eq!(session.access(), Access::ReadWrite);
}

#[test]
fn client_that_does_not_read_is_not_read() {
    let mut session = session(100);
    let flood = ping().repeat(1_000);
    session.receive(MonotonicTime::ZERO, &flood);
    assert_eq!(request(&mut session), None);
    assert!(!session.wants_read());
    assert_eq!(
        session.output().len(),
        112,
        "the limit and one reply beyond it"
    );

    // One reply that is sent makes room for another one.
    session.advance_output(28);
    assert_eq!(request(&mut session), None);
    assert_eq!(session.output().len(), 112);

    let mut pongs = 0;
    while session.wants_write() {
        pongs += sent(&mut session).len();
        assert_eq!(request(&mut session), None);
    }
    assert_eq!(pongs, 999, "one pong was sent before");
    assert!(session.wants_read());
}

#[test]
fn backlog_stops_reading_even_if_answers_come_late() {
    let mut session = session(50);
    session.receive(MonotonicTime::ZERO, &[hostname(1), hostname(2)].concat());
    let calls = [
        request(&mut session).unwrap(),
        request(&mut session).unwrap(),
    ];
    assert_eq!(request(&mut session), None);
    assert!(session.wants_read());
    calls.iter().for_each(|call| answer(&mut session, call));
    assert!(!session.wants_read());
    sent(&mut session);
    assert!(session.wants_read());
}

#[test]
fn input_before_a_half_close_is_answered() {
    let mut session = session(1 << 20);
    let half = &hostname(9)[..20];
    session.receive(
        MonotonicTime::ZERO,
        &[&hostname(1)[..], &hostname(2), &hostname(3), half].concat(),
    );
    session.end_of_input();
    assert!(!session.wants_read());
    assert!(!session.should_close(), "no event has been polled");
    let calls = [
        request(&mut session).unwrap(),
        request(&mut session).unwrap(),
    ];
    session.poll();
    calls.iter().for_each(|call| answer(&mut session, call));
    sent(&mut session);
    assert!(!session.should_close(), "one call is parked");
    let third = request(&mut session).unwrap();
    assert_eq!(request(&mut session), None);
    assert!(!session.should_close(), "the call is in progress");
    answer(&mut session, &third);
    assert!(!session.should_close(), "its reply is not sent");
    assert_eq!(sent(&mut session), [(59, 3)]);
    assert!(session.should_close());
}

#[test]
fn close_waits_for_calls_in_progress_and_their_answers() {
    let mut session = session(1 << 20);
    session.receive(
        MonotonicTime::ZERO,
        &[hostname(1), frame(&Call::ConnectClose(()), 2)].concat(),
    );
    let first = request(&mut session).unwrap();
    assert_eq!(request(&mut session), None);
    assert_eq!(session.state(), SessionState::Closing);
    assert_eq!(sent(&mut session), [(2, 2)]);
    assert!(!session.should_close());
    answer(&mut session, &first);
    assert_eq!(sent(&mut session), [(59, 1)]);
    assert!(session.should_close());
}

#[test]
fn answer_for_a_broken_session_is_dropped() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &[&hostname(1)[..], &[0; 4]].concat());
    let first = request(&mut session).unwrap();
    assert!(matches!(session.poll(), Some(Event::Violation(_))));
    answer(&mut session, &first);
    assert_eq!(session.output(), b"");
    assert!(session.should_close());
}

#[test]
fn calls_with_the_same_serial_are_kept_apart() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &[hostname(7), hostname(7)].concat());
    let calls = [
        request(&mut session).unwrap(),
        request(&mut session).unwrap(),
    ];
    assert_ne!(calls[0].ticket, calls[1].ticket);
    calls.iter().for_each(|call| answer(&mut session, call));
    answer(&mut session, &calls[0]);
    assert_eq!(
        sent(&mut session),
        [(59, 7), (59, 7)],
        "a second reply to one call is dropped"
    );
}

#[test]
fn reply_too_long_for_the_protocol_becomes_an_error() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostname(1));
    let call = request(&mut session).unwrap();
    let hostname = "x".repeat(crate::wire::STRING_MAX + 1).into();
    session.reply(
        call.ticket,
        Ok(Reply::ConnectGetHostname(HostnameRet { hostname })),
    );
    let mut from = crate::wire::Decoder::new(&session.output()[MIN_FRAME as usize..]);
    let error = RemoteError::decode(&mut from).unwrap();
    assert_eq!(error, RemoteError::rpc("Unable to encode message payload"));
}

#[test]
#[should_panic(expected = "reply of AUTH_LIST")]
fn a_reply_of_another_procedure_is_a_bug() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostname(1));
    let call = request(&mut session).unwrap();
    let types = vec![0].into();
    session.reply(call.ticket, Ok(Reply::AuthList(AuthListRet { types })));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut session = session(1 << 20);
    assert_eq!(session.last_heard(), MonotonicTime::ZERO);
    session.receive(MonotonicTime::from_nanos(5), &[0]);
    assert_eq!(session.last_heard(), MonotonicTime::from_nanos(5));
}

#[test]
fn the_keepalive_feature_is_there_before_an_open() {
    let mut session = session(1 << 20);
    session.receive(
        MonotonicTime::ZERO,
        &frame(
            &Call::ConnectSupportsFeature(FeatureArgs {
                feature: FEATURE_KEEPALIVE,
            }),
            1,
        ),
    );
    assert_eq!(request(&mut session), None);
    assert_eq!(sent(&mut session), [(60, 1)]);
}
