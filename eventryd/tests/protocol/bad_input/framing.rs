//! Invalid messages, and messages that are not calls.

use super::*;

#[test]
fn impossible_length_ends_the_session_without_an_answer() {
    for length in [0, 3, 4, 5, 8, 27_u32] {
        assert_violation(&length.to_be_bytes(), FrameError::TooSmall(length));
    }
    for length in [33_554_437, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32] {
        let expected = FrameError::TooLarge {
            length,
            limit: 33_554_436,
        };
        assert_violation(&length.to_be_bytes(), expected);
    }
}

#[test]
fn a_length_that_is_allowed_waits_for_its_bytes() {
    for length in [32, 4_194_304, 16_777_216, 33_554_432, 33_554_436_u32] {
        let mut peer = opened(Access::ReadWrite);
        let mut bytes = message_with(header(66), &[]);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(peer.exchange(&bytes), [0_u8; 0]);
        assert!(peer.session.wants_read() && !peer.session.should_close());
    }
}

#[test]
fn a_message_of_the_largest_size_is_answered() {
    let mut peer = opened(Access::ReadWrite);
    let bytes = message_with(header(66), &vec![0; 33_554_436 - 28]);
    assert_eq!(bytes.len(), 33_554_436);
    assert!(matches!(
        answers(&peer.exchange(&bytes))[..],
        [Answer::Ok(..)]
    ));
}

#[test]
fn before_authentication_messages_are_short() {
    let config = SessionConfig {
        auth: Auth::Sasl,
        ..SessionConfig::default()
    };
    for (length, fits) in [(262_144_u32, true), (262_145, false)] {
        let mut peer = Peer::new(driver(), config.clone());
        assert_eq!(peer.exchange(&length.to_be_bytes()), [0_u8; 0]);
        assert_eq!(peer.events.is_empty(), fits, "{length}");
        assert_eq!(peer.session.should_close(), !fits);
    }
    let mut peer = Peer::new(driver(), config.clone());
    peer.session.mark_authenticated();
    assert_eq!(peer.exchange(&262_145_u32.to_be_bytes()), [0_u8; 0]);
    assert_eq!(peer.events, []);
}

#[test]
fn call_with_fds_is_fatal_unless_it_brings_none() {
    let with_fds = Header {
        kind: MessageType::CallWithFds,
        ..header(66)
    };
    let mut peer = opened(Access::ReadWrite);
    let sent = peer.exchange(&message_with(with_fds, &words(&[0])));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::AuthList(_))]
    ));

    for count in [1, 33] {
        assert_violation(
            &message_with(with_fds, &words(&[count])),
            FrameError::Descriptors(count),
        );
    }
    assert_violation(&message_with(with_fds, &[]), FrameError::NoDescriptorCount);
}

#[test]
fn message_that_is_not_a_call_is_dropped_without_a_reply() {
    let kind = |word| Header {
        kind: MessageType::from(word),
        ..header(66)
    };
    let foreign = Header {
        program: 0x1234_5678,
        ..kind(2)
    };
    let keepalive = Header {
        program: Program::Keepalive.number(),
        ..kind(2)
    };
    for header in [
        kind(1),
        kind(2),
        kind(3),
        kind(5),
        kind(6),
        kind(7),
        kind(-1),
        Header {
            serial: 9,
            status: Status::Error,
            ..kind(3)
        },
        foreign,
        Header {
            procedure: 3,
            ..keepalive
        },
        Header {
            version: 2,
            procedure: 1,
            ..keepalive
        },
    ] {
        let mut peer = opened(Access::ReadWrite);
        assert_eq!(
            peer.exchange(&message_with(header, &[])),
            [0_u8; 0],
            "{header:?}"
        );
        assert!(
            matches!(peer.events[..], [Event::Dropped { header: seen, .. }] if seen == header),
            "{header:?}: {:?}",
            peer.events
        );
        assert_alive(&mut peer);
    }
}

#[test]
fn a_ping_is_answered_at_any_time_and_a_pong_is_not() {
    let ping = Header {
        procedure: Header::PING,
        ..Header::pong()
    };
    let sasl = SessionConfig {
        auth: Auth::Sasl,
        ..SessionConfig::default()
    };
    for mut peer in [
        opened(Access::ReadWrite),
        Peer::new(driver(), SessionConfig::default()),
        Peer::new(driver(), sasl),
    ] {
        for bytes in [
            message_with(ping, &[]),
            message_with(Header { serial: 7, ..ping }, &[1; 16]),
        ] {
            assert_eq!(
                answers(&peer.exchange(&bytes)),
                [Answer::Message(Header::pong())]
            );
        }
        assert_eq!(peer.exchange(&message_with(Header::pong(), &[])), [0_u8; 0]);
        assert_eq!(peer.events, []);
    }
}

#[test]
fn nothing_after_a_close_is_processed() {
    for opened_before in [true, false] {
        let mut peer = Peer::new(driver(), SessionConfig::default());
        if opened_before {
            peer = opened(Access::ReadWrite);
        }
        let mut bytes = message_with(header(2), &[]);
        bytes.extend(message_with(header(4), &[]));
        bytes.extend(message_with(header(2), &[]));
        bytes.extend([0xff; 40]);
        let sent = peer.exchange(&bytes);
        assert!(matches!(
            answers(&sent)[..],
            [Answer::Ok(_, Reply::ConnectClose(()))]
        ));
        assert_eq!(peer.events, []);
        assert_eq!(peer.session.state(), SessionState::Closing);
        assert!(peer.session.should_close() && !peer.session.wants_read());
        assert_eq!(peer.exchange(&message_with(header(4), &[])), [0_u8; 0]);
    }
}

fn assert_violation(bytes: &[u8], expected: FrameError) {
    let mut peer = opened(Access::ReadWrite);
    assert_eq!(peer.exchange(bytes), [0_u8; 0]);
    assert_eq!(peer.events, [Event::Violation(expected)]);
    assert!(peer.session.should_close() && !peer.session.wants_read());
    assert_eq!(
        peer.exchange(&message_with(header(66), &[])),
        [0_u8; 0],
        "a session answers nothing after a violation"
    );
}
