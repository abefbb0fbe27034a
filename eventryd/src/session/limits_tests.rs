//! Tests of the limits of a session: messages per turn, and unsent output.

use super::*;
use crate::wire::{
    Call, CharArray, FeatureArgs, HostnameRet, SaslStartArgs, SaslStepArgs, write_message,
};
use std::num::NonZeroUsize;
use std::time::Duration;

const CALLS: usize = 3;

fn session(max_tx_bytes: usize) -> Session {
    let limits = ClientLimits {
        max_client_requests: NonZeroUsize::new(CALLS).unwrap(),
        max_tx_bytes: NonZeroUsize::new(max_tx_bytes).unwrap(),
        ..ClientLimits::default()
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

/// Takes all calls that the session hands out now. With `answers`, each gets a reply of this length at once.
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
fn turn_takes_max_client_requests_messages() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostnames(2 * CALLS + 1));
    for expected in [CALLS, CALLS, 1, 0] {
        session.begin_turn();
        assert_eq!(take(&mut session, Some(1)).len(), expected);
        assert_eq!(session.has_more(), expected == CALLS);
        assert_eq!(session.wants_read(), expected != CALLS);
        assert!(!session.should_close());
    }
}

#[test]
fn messages_left_for_another_turn_are_answered_before_the_end() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostnames(CALLS + 1));
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
fn session_that_closes_has_no_more_messages() {
    let mut session = session(1 << 20);
    let mut bytes = hostnames(CALLS);
    let close = Call::ConnectClose(());
    write_message(&mut bytes, Header::call(close.procedure(), 2), |_| {}).unwrap();
    session.receive(MonotonicTime::ZERO, &bytes);
    session.begin_turn();
    take(&mut session, Some(1));
    assert!(session.has_more(), "the close is left for another turn");
    session.begin_turn();
    take(&mut session, None);
    assert_eq!(session.state(), SessionState::Closing);
    assert!(session.wants_write() && !session.should_close());
    // Otherwise the loop would not sleep while the client does not read.
    assert!(!session.has_more());
}

#[test]
fn pings_count_as_messages_of_a_turn() {
    let mut session = session(1 << 20);
    let mut pings = Vec::new();
    for _ in 0..=CALLS {
        write_message(&mut pings, Header::ping(), |_| {}).unwrap();
    }
    session.receive(MonotonicTime::ZERO, &pings);
    session.begin_turn();
    assert_eq!(session.poll(), None);
    assert!(session.has_more());
    assert_eq!(session.output().len(), CALLS * 28);
}

#[test]
fn client_that_does_not_read_its_answers_expires() {
    let mut session = session(1_000);
    session.receive(MonotonicTime::ZERO, &hostnames(2));
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
fn single_answer_may_exceed_max_tx_bytes() {
    let mut session = session(1_000);
    session.receive(MonotonicTime::ZERO, &hostnames(1));
    assert_eq!(take(&mut session, Some(10_000)).len(), 1);
    assert_eq!(session.state(), SessionState::Serving);
    session.advance_output(session.output().len());
    session.receive(MonotonicTime::ZERO, &hostnames(1));
    assert_eq!(take(&mut session, Some(10_000)).len(), 1);
    assert_eq!(session.state(), SessionState::Serving);
}

#[test]
fn finish_sets_no_deadline() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostnames(1));
    let calls = take(&mut session, None);
    session.finish();
    assert_eq!(session.next_deadline(), None);
    assert!(!session.should_close() && !session.wants_read());
    answer(&mut session, calls[0], 1);
    session.advance_output(session.output().len());
    assert!(session.should_close());
}

#[test]
fn skipped_message_counts_in_the_turn_that_takes_it() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostnames(3 * CALLS));
    session.begin_turn();
    let calls = take(&mut session, None);
    assert_eq!(calls.len(), CALLS);
    // The next message is parked, because the limit of calls in progress is reached.
    session.begin_turn();
    assert_eq!(take(&mut session, None).len(), 0);
    for call in calls {
        answer(&mut session, call, 1);
    }
    session.begin_turn();
    assert_eq!(take(&mut session, Some(1)).len(), CALLS);
    assert!(session.has_more());
}

#[test]
fn unread_output_up_to_max_tx_bytes_is_allowed() {
    const ANSWER: usize = 28 + 4 + 600;
    for (limit, is_given_up) in [(2 * ANSWER, false), (2 * ANSWER - 1, true)] {
        let mut session = session(limit);
        session.receive(MonotonicTime::ZERO, &hostnames(2));
        take(&mut session, Some(600));
        assert_eq!(session.should_close(), is_given_up);
    }
}

#[test]
fn calls_in_progress_counts_unanswered_calls() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostnames(CALLS));
    assert_eq!(session.calls_in_progress(), 0);
    let mut left = CALLS;
    for call in take(&mut session, None) {
        assert_eq!(session.calls_in_progress(), left);
        answer(&mut session, call, 1);
        left -= 1;
    }
    assert_eq!((session.calls_in_progress(), left), (0, 0));
}

#[test]
fn empty_input_changes_nothing() {
    let mut session = session(1 << 20);
    assert!(session.wants_read());
    session.receive(MonotonicTime::ZERO, &[]);
    assert!(session.wants_read());
}

/// Returns a session that stops reading at 632 unsent bytes, and sends one ping after a second.
fn full_and_watched() -> Session {
    let limits = ClientLimits {
        max_client_requests: NonZeroUsize::new(CALLS).unwrap(),
        max_output: NonZeroUsize::new(28 + 4 + 600).unwrap(),
        ..ClientLimits::default()
    };
    let mut session = Session::new(SessionConfig {
        limits: limits.into(),
        keepalive: Keepalive {
            interval: Some(Duration::from_secs(1)),
            count: 1,
        },
        ..SessionConfig::default()
    });
    let call = Call::ConnectSupportsFeature(FeatureArgs { feature: 10 });
    let mut bytes = Vec::new();
    let header = Header::call(call.procedure(), 1);
    write_message(&mut bytes, header, |to| call.encode(to)).unwrap();
    session.receive(MonotonicTime::ZERO, &bytes);
    assert_eq!(session.poll(), None);
    session.advance_output(session.output().len());
    session.receive(MonotonicTime::ZERO, &hostnames(2));
    let calls = take(&mut session, None);
    answer(&mut session, calls[0], 600);
    assert_eq!(session.calls_in_progress(), 1);
    session
}

#[test]
fn client_with_max_output_unread_is_not_read() {
    let session = full_and_watched();
    assert!(!session.wants_read());
}

// The call in progress does not extend the time, because the client's own unread replies stop the server from reading.
#[test]
fn client_that_does_not_read_expires_during_a_call() {
    let mut session = full_and_watched();
    for second in 1..=2 {
        session.on_deadline(MonotonicTime::ZERO.saturating_add(Duration::from_secs(second)));
    }
    let idle = Duration::from_secs(2);
    let expired = Event::Expired(Expiry::Dead { idle });
    assert_eq!(session.poll(), Some(expired));
}

fn decision(session: &mut Session) -> Ticket {
    match session.poll() {
        Some(Event::Authenticate(request)) => request.ticket,
        other => panic!("{other:?}"),
    }
}

// It would count as the decision about another step.
#[test]
fn second_decision_is_dropped() {
    let mut session = Session::new(SessionConfig {
        auth: Auth::Sasl,
        ..SessionConfig::default()
    });
    let start = Call::AuthSaslStart(SaslStartArgs {
        mech: "SCRAM-SHA-256".into(),
        nil: 1,
        data: CharArray(Vec::new()),
    });
    let step = Call::AuthSaslStep(SaslStepArgs {
        nil: 1,
        data: CharArray(Vec::new()),
    });
    let init = Call::AuthSaslInit(());
    let mut bytes = Vec::new();
    for call in [&init, &start, &step] {
        let header = Header::call(call.procedure(), 1);
        write_message(&mut bytes, header, |to| call.encode(to)).unwrap();
    }
    session.receive(MonotonicTime::ZERO, &bytes);
    let first = decision(&mut session);
    session.authenticate(first, AuthResult::Continue(None));
    let second = decision(&mut session);
    session.authenticate(first, AuthResult::Complete(None));
    assert!(session.is_anonymous() && session.calls_in_progress() == 1);
    session.authenticate(second, AuthResult::Complete(None));
    assert!(!session.is_anonymous());
}

#[test]
fn decision_about_an_ordinary_call_is_dropped() {
    let mut session = session(1 << 20);
    session.receive(MonotonicTime::ZERO, &hostnames(1));
    let calls = take(&mut session, None);
    session.authenticate(calls[0], AuthResult::Complete(None));
    assert_eq!(session.calls_in_progress(), 1);
}
