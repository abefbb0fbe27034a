//! How much of a client is taken in a turn, and how much may wait for it.

use super::*;
use crate::wire::{Call, HostnameRet, write_message};
use std::num::NonZeroUsize;

const CALLS: usize = 3;

fn session(max_tx_bytes: usize) -> Session {
    let limits = Limits {
        max_client_requests: NonZeroUsize::new(CALLS).unwrap(),
        max_tx_bytes: NonZeroUsize::new(max_tx_bytes).unwrap(),
        ..Limits::default()
    };
    Session::new(SessionConfig {
        limits: limits.into(),
        ..SessionConfig::default()
    })
}

fn hostnames(count: usize) -> Vec<u8> {
    let call = Call::ConnectGetHostname(());
    let mut bytes = Vec::new();
    for _ in 0..count {
        write_message(&mut bytes, Header::call(call.procedure(), 1), |_| {}).unwrap();
    }
    bytes
}

/// The calls that are taken before there is nothing to do, each answered at once if `answers`.
fn take(session: &mut Session, answers: Option<usize>) -> Vec<Ticket> {
    let mut taken = Vec::new();
    while let Some(event) = session.poll() {
        if let Event::Request(request) = event {
            taken.push(request.ticket);
            if let Some(length) = answers {
                answer(session, request.ticket, length);
            }
        }
    }
    taken
}

fn answer(session: &mut Session, ticket: Ticket, length: usize) {
    let hostname = "x".repeat(length).into();
    session.reply(
        ticket,
        Ok(Reply::ConnectGetHostname(HostnameRet { hostname })),
    );
}

#[test]
fn a_turn_takes_as_many_messages_as_calls_may_be_in_progress() {
    let mut session = session(1 << 20);
    session.receive(Time::ZERO, &hostnames(2 * CALLS + 1));
    for expected in [CALLS, CALLS, 1, 0] {
        session.begin_turn();
        assert_eq!(take(&mut session, Some(1)).len(), expected);
        assert_eq!(session.has_more(), expected == CALLS);
        assert_eq!(session.wants_read(), expected != CALLS);
        assert!(!session.should_close());
    }
}

#[test]
fn what_is_left_for_another_turn_is_answered_before_the_end() {
    let mut session = session(1 << 20);
    session.receive(Time::ZERO, &hostnames(CALLS + 1));
    session.end_of_input();
    session.begin_turn();
    assert_eq!(take(&mut session, Some(1)).len(), CALLS);
    session.advance_output(session.output().len());
    assert!(!session.should_close());
    session.begin_turn();
    assert_eq!(take(&mut session, Some(1)).len(), 1);
    session.advance_output(session.output().len());
    assert!(session.should_close());
}

#[test]
fn pings_count_as_messages_of_a_turn() {
    let mut session = session(1 << 20);
    let mut pings = Vec::new();
    for _ in 0..=CALLS {
        write_message(&mut pings, Header::ping(), |_| {}).unwrap();
    }
    session.receive(Time::ZERO, &pings);
    session.begin_turn();
    assert_eq!(session.poll(), None);
    assert!(session.has_more());
    assert_eq!(session.output().len(), CALLS * 28);
}

#[test]
fn a_client_that_makes_calls_and_does_not_read_is_given_up() {
    let mut session = session(1_000);
    session.receive(Time::ZERO, &hostnames(2));
    let calls = take(&mut session, None);
    answer(&mut session, calls[0], 600);
    assert_eq!(session.poll(), None);
    answer(&mut session, calls[1], 600);
    let unsent = 2 * (28 + 4 + 600);
    let expired = Event::Expired(Expiry::Unread { unsent });
    assert_eq!(session.poll(), Some(expired));
    assert!(session.should_close());
}

#[test]
fn a_single_answer_may_be_longer_than_what_may_wait() {
    let mut session = session(1_000);
    session.receive(Time::ZERO, &hostnames(1));
    assert_eq!(take(&mut session, Some(10_000)).len(), 1);
    assert_eq!(session.state(), SessionState::Serving);
    session.advance_output(session.output().len());
    session.receive(Time::ZERO, &hostnames(1));
    assert_eq!(take(&mut session, Some(10_000)).len(), 1);
    assert_eq!(session.state(), SessionState::Serving);
}

#[test]
fn a_stop_of_the_daemon_has_no_limit_of_its_own() {
    let mut session = session(1 << 20);
    session.receive(Time::ZERO, &hostnames(1));
    let calls = take(&mut session, None);
    session.finish();
    assert_eq!(session.next_deadline(), None);
    assert!(!session.should_close() && !session.wants_read());
    answer(&mut session, calls[0], 1);
    session.advance_output(session.output().len());
    assert!(session.should_close());
}
