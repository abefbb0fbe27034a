//! What a real daemon answers to input that no client should send, and what ours must answer.

#![cfg(feature = "daemon")]

mod common;

use std::sync::Arc;

use common::{Answer, Peer, answers};
use eventry::driver::MemoryDriver;
use eventry::session::{Access, Auth, Event, SessionConfig, SessionState};
use eventry::wire::{
    Call, ConnectOpenArgs, DomainArgs, DomainRef, ErrorCode, ErrorDomain, FeatureArgs, Header,
    ListAllDomainsArgs, LookupByNameArgs, MessageType, PROCEDURES, Permission, Program,
    RemoteError, Reply, Status, Violation, WireString, write_message,
};
use uuid::uuid;

const SERIAL: u32 = 5;

#[test]
fn a_length_no_message_can_have_ends_the_session_without_an_answer() {
    for length in [0, 3, 4, 5, 8, 27_u32] {
        assert_violation(&length.to_be_bytes(), Violation::TooSmall(length));
    }
    for length in [33_554_437, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32] {
        let expected = Violation::TooLarge {
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
        let mut bytes = frame(header(66), &[]);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(peer.exchange(&bytes), []);
        assert!(peer.session.wants_read() && !peer.session.should_close());
    }
}

#[test]
fn a_message_of_the_largest_size_is_answered() {
    let mut peer = opened(Access::ReadWrite);
    let bytes = frame(header(66), &vec![0; 33_554_436 - 28]);
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
        let mut peer = Peer::new(driver(), config);
        assert_eq!(peer.exchange(&length.to_be_bytes()), []);
        assert_eq!(peer.events.is_empty(), fits, "{length}");
        assert_eq!(peer.session.should_close(), !fits);
    }
    let mut peer = Peer::new(driver(), config);
    peer.session.mark_authenticated();
    assert_eq!(peer.exchange(&262_145_u32.to_be_bytes()), []);
    assert_eq!(peer.events, []);
}

#[test]
fn a_call_with_descriptors_is_answered_if_it_brings_none_and_fatal_otherwise() {
    let with_fds = Header {
        kind: MessageType::CallWithFds,
        ..header(66)
    };
    let mut peer = opened(Access::ReadWrite);
    let sent = peer.exchange(&frame(with_fds, &words(&[0])));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::AuthList(_))]
    ));

    for count in [1, 33] {
        assert_violation(
            &frame(with_fds, &words(&[count])),
            Violation::Descriptors(count),
        );
    }
    assert_violation(&frame(with_fds, &[]), Violation::NoDescriptorCount);
}

#[test]
fn a_call_at_fault_gets_error_39_and_the_session_goes_on() {
    let admin = Header {
        program: Program::Admin.number(),
        ..header(1)
    };
    let keepalive = Header {
        program: Program::Keepalive.number(),
        ..header(1)
    };
    let qemu = Header {
        program: Program::Qemu.number(),
        ..header(99)
    };
    let lxc = Header {
        program: Program::Lxc.number(),
        ..header(1)
    };
    let with_status = |word| Header {
        status: Status::from(word),
        ..header(66)
    };
    for (header, text) in [
        (
            Header {
                program: 0x1234_5678,
                ..header(1)
            },
            "Cannot find program 305419896 version 1",
        ),
        (admin, "Cannot find program 110102160 version 1"),
        (keepalive, "Cannot find program 1801807216 version 1"),
        (
            Header {
                version: 2,
                ..header(66)
            },
            "Cannot find program 536903814 version 2",
        ),
        (
            Header {
                version: 0,
                ..header(66)
            },
            "Cannot find program 536903814 version 0",
        ),
        (qemu, "unknown procedure: 99"),
        (lxc, "unknown procedure: 1"),
        (header(9_999), "unknown procedure: 9999"),
        (header(0), "unknown procedure: 0"),
        (header(-1), "unknown procedure: -1"),
        (header(444), "unknown procedure: 444"),
        (header(318), "unknown procedure: 318"),
        (with_status(1), "Unexpected message status 1"),
        (with_status(2), "Unexpected message status 2"),
        (with_status(99), "Unexpected message status 99"),
        (with_status(-1), "Unexpected message status 4294967295"),
        // The order of the checks: program, status, procedure.
        (
            Header {
                version: 2,
                ..with_status(1)
            },
            "Cannot find program 536903814 version 2",
        ),
        (
            Header {
                procedure: 9_999,
                ..with_status(1)
            },
            "Unexpected message status 1",
        ),
    ] {
        assert_refused(&mut opened(Access::ReadWrite), &frame(header, &[]), text);
    }
}

#[test]
fn arguments_that_do_not_decode_get_error_39_and_the_session_goes_on() {
    let name =
        |length: u32, bytes: &[u8]| frame(header(23), &[&length.to_be_bytes(), bytes].concat());
    for bytes in [
        frame(header(23), &[]),
        frame(header(23), &[0, 0, 0]),
        name(8, b"test"),
        name(u32::MAX, b"test"),
        name(4_194_305, &[b'a'; 4_194_308]),
        name(3, b"abc"),
        name(8, b"test\0xyz"),
        frame(header(1), &[]),
        frame(header(212), &[0; 8]),
    ] {
        let text = "Unable to decode message payload";
        assert_refused(&mut opened(Access::ReadWrite), &bytes, text);
    }
}

#[test]
fn odd_arguments_that_do_decode_are_looked_up() {
    let name =
        |length: u32, bytes: &[u8]| frame(header(23), &[&length.to_be_bytes(), bytes].concat());
    let not_found = RemoteError::plain(ErrorCode::NO_DOMAIN, ErrorDomain::TEST, "Domain not found");
    for bytes in [
        name(4_194_304, &[b'a'; 4_194_304]),
        name(100_000, &[b'a'; 100_000]),
        name(3, b"abc\x7f"),
        name(4, b"t\xffst"),
        name(0, b""),
    ] {
        let sent = opened(Access::ReadWrite).exchange(&bytes);
        let [Answer::Error(_, error)] = &answers(&sent)[..] else {
            panic!("not one error")
        };
        assert_eq!(*error, not_found);
    }
    let sent = opened(Access::ReadWrite).exchange(&name(4, b"testtrailing"));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::DomainLookupByName(_))]
    ));
    let sent = opened(Access::ReadWrite).exchange(&frame(header(66), &[0x55; 4_096]));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::AuthList(_))]
    ));
}

#[test]
fn a_lookup_of_the_test_domain_finds_it() {
    let name = WireString::from("test");
    let call = Call::DomainLookupByName(LookupByNameArgs { name });
    let sent = opened(Access::ReadOnly).exchange(&call_frame(&call));
    let [Answer::Ok(_, Reply::DomainLookupByName(found))] = &answers(&sent)[..] else {
        panic!("not found");
    };
    assert_eq!(found.dom, test_domain());
}

#[test]
fn what_is_not_a_call_is_dropped_in_silence() {
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
        assert_eq!(peer.exchange(&frame(header, &[])), [], "{header:?}");
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
            frame(ping, &[]),
            frame(Header { serial: 7, ..ping }, &[1; 16]),
        ] {
            assert_eq!(
                answers(&peer.exchange(&bytes)),
                [Answer::Message(Header::pong())]
            );
        }
        assert_eq!(peer.exchange(&frame(Header::pong(), &[])), []);
        assert_eq!(peer.events, []);
    }
}

#[test]
fn without_authentication_only_authentication_is_served() {
    let config = SessionConfig {
        auth: Auth::Sasl,
        ..SessionConfig::default()
    };
    let mut peer = Peer::new(driver(), config);
    let feature = Call::ConnectSupportsFeature(FeatureArgs { feature: 10 });
    for (bytes, text) in [
        (open_frame("test:///default", 0), "authentication required"),
        (call_frame(&feature), "authentication required"),
        (frame(header(2), &[]), "authentication required"),
        // Who asks for arguments that do not decode is told nothing about them.
        (frame(header(23), &[]), "authentication required"),
        (frame(header(9_999), &[]), "unknown procedure: 9999"),
        (
            frame(
                Header {
                    program: 0x1234,
                    ..header(1)
                },
                &[],
            ),
            "Cannot find program 4660 version 1",
        ),
    ] {
        assert_refused(&mut peer, &bytes, text);
    }
    let list = |peer: &mut Peer| match &answers(&peer.exchange(&frame(header(66), &[])))[..] {
        [Answer::Ok(_, Reply::AuthList(list))] => list.types.0.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(list(&mut peer), [1]);
    peer.session.mark_authenticated();
    assert_eq!(list(&mut peer), [0]);
    assert!(matches!(
        answers(&peer.exchange(&open_frame("test:///default", 0)))[..],
        [Answer::Ok(..)]
    ));
}

#[test]
fn the_state_of_the_connection_decides_what_is_an_error() {
    let internal = |text: &str| RemoteError::internal(ErrorDomain::RPC, text);
    let unopened = || Peer::new(driver(), SessionConfig::default());
    let feature = |feature| call_frame(&Call::ConnectSupportsFeature(FeatureArgs { feature }));
    let unnamed = call_frame(&Call::ConnectOpen(ConnectOpenArgs {
        name: None,
        flags: 0,
    }));
    let no_flags = Call::ConnectListAllDomains(ListAllDomainsArgs {
        need_results: 1,
        flags: 0x8000_0003,
    });
    for (mut peer, bytes, expected) in [
        (unopened(), unnamed, internal("connection not open")),
        (
            unopened(),
            frame(header(4), &[]),
            internal("hypervisor connection not open"),
        ),
        (
            unopened(),
            feature(14),
            internal("hypervisor connection not open"),
        ),
        (
            opened(Access::ReadWrite),
            open_frame("test:///default", 0),
            internal("connection already open"),
        ),
        (
            opened(Access::ReadWrite),
            call_frame(&no_flags),
            RemoteError::unsupported_flags(
                ErrorDomain::TEST,
                0x8000_0000,
                "testConnectListAllDomains",
            ),
        ),
    ] {
        let sent = peer.exchange(&bytes);
        assert_eq!(answers(&sent), [Answer::Error(header_of(&bytes), expected)]);
        assert_alive(&mut peer);
    }
    for (mut peer, asked, expected) in [
        (unopened(), 10, 1),
        (opened(Access::ReadWrite), 14, 1),
        (opened(Access::ReadWrite), 9_999, 0),
        (opened(Access::ReadWrite), -1, 0),
    ] {
        let sent = peer.exchange(&feature(asked));
        let [Answer::Ok(_, Reply::ConnectSupportsFeature(reply))] = &answers(&sent)[..] else {
            panic!("feature {asked} is an error");
        };
        assert_eq!(reply.value, expected, "feature {asked}");
    }
}

#[test]
fn a_failed_open_can_be_tried_again() {
    let mut peer = Peer::new(driver(), SessionConfig::default());
    let sent = peer.exchange(&open_frame("nosuch:///system", 1));
    let template = "no connection driver available for %s";
    let (code, domain) = (ErrorCode::NO_CONNECT, ErrorDomain::NONE);
    let expected = RemoteError::new(code, domain, template, "nosuch:///system");
    assert!(matches!(&answers(&sent)[..], [Answer::Error(_, error)] if *error == expected));
    assert_eq!(
        peer.session.access(),
        Access::ReadWrite,
        "an open that failed changes nothing"
    );
    let sent = peer.exchange(&open_frame("test:///default", 0));
    assert!(matches!(&answers(&sent)[..], [Answer::Ok(..)]));
}

#[test]
fn nothing_after_a_close_is_processed() {
    for opened_before in [true, false] {
        let mut peer = Peer::new(driver(), SessionConfig::default());
        if opened_before {
            peer = opened(Access::ReadWrite);
        }
        let mut bytes = frame(header(2), &[]);
        bytes.extend(frame(header(4), &[]));
        bytes.extend(frame(header(2), &[]));
        bytes.extend([0xff; 40]);
        let sent = peer.exchange(&bytes);
        assert!(matches!(
            answers(&sent)[..],
            [Answer::Ok(_, Reply::ConnectClose(()))]
        ));
        assert_eq!(peer.events, []);
        assert_eq!(peer.session.state(), SessionState::Closing);
        assert!(peer.session.should_close() && !peer.session.wants_read());
        assert_eq!(peer.exchange(&frame(header(4), &[])), []);
    }
}

#[test]
fn only_the_lowest_bit_of_an_opens_flags_counts() {
    for (service, flags, access) in [
        (Access::ReadWrite, 0, Access::ReadWrite),
        (Access::ReadWrite, 0xffff_fffe, Access::ReadWrite),
        (Access::ReadWrite, 1, Access::ReadOnly),
        (Access::ReadWrite, 3, Access::ReadOnly),
        (Access::ReadWrite, 0xffff_ffff, Access::ReadOnly),
        (Access::ReadOnly, 0, Access::ReadOnly),
    ] {
        let mut peer = Peer::new(
            driver(),
            SessionConfig {
                access: service,
                ..Default::default()
            },
        );
        let mut bytes = open_frame("test:///default", flags);
        // In the same write: the open's outcome decides about the very next call.
        bytes.extend(call_frame(&Call::DomainDestroy(DomainArgs {
            dom: test_domain(),
        })));
        let sent = answers(&peer.exchange(&bytes));
        assert_eq!(peer.session.access(), access, "{service:?} {flags:#x}");
        let expected = RemoteError::read_only("virDomainDestroy");
        match (access, &sent[..]) {
            (Access::ReadWrite, [Answer::Ok(..), Answer::Ok(..)]) => {}
            (Access::ReadOnly, [Answer::Ok(..), Answer::Error(_, e)]) if *e == expected => {}
            _ => panic!("{service:?} {flags:#x}: {sent:?}"),
        }
    }
}

#[test]
fn a_read_only_session_may_make_no_call_but_those_known_to_be_harmless() {
    // Written out, so that a line of the table changed by mistake does not change the test with it.
    const HARMLESS: [i32; 26] = [
        1, 2, 3, 4, 6, 15, 16, 19, 22, 23, 24, 59, 60, 66, 110, 121, 122, 150, 151, 157, 183, 212,
        273, 360, 361, 426,
    ];
    assert_eq!(PROCEDURES.len(), HARMLESS.len() + 3);
    for procedure in PROCEDURES {
        let mut peer = opened(Access::ReadOnly);
        // Arguments for any procedure: a domain and many more words than needed.
        let mut payload = words(&[4]);
        payload.extend(b"test");
        payload.extend(test_domain().uuid.as_bytes());
        payload.extend([0; 64]);
        peer.exchange(&frame(header(procedure.number), &payload));
        let refused = peer.events.iter().any(|event| {
            matches!(event, Event::Refused { refusal, .. }
                if refusal.to_string()
                    == format!("operation forbidden: read only access prevents {}", procedure.api))
        });
        let harmless = HARMLESS.contains(&procedure.number);
        assert_eq!(refused, !harmless, "{}", procedure.name);
        assert_eq!(
            procedure.read_only == Permission::Allow,
            harmless,
            "{}",
            procedure.name
        );
    }
}

fn driver() -> Arc<MemoryDriver> {
    Arc::new(MemoryDriver::with_hostname("vm"))
}

/// A peer that has connected the way clients do.
fn opened(access: Access) -> Peer {
    let mut peer = Peer::new(
        driver(),
        SessionConfig {
            access,
            ..SessionConfig::default()
        },
    );
    let sent = peer.exchange(&open_frame("test:///default", 0));
    assert!(matches!(answers(&sent)[..], [Answer::Ok(..)]));
    peer
}

fn assert_alive(peer: &mut Peer) {
    let sent = peer.exchange(&frame(header(66), &[]));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::AuthList(_))]
    ));
}

fn assert_violation(bytes: &[u8], expected: Violation) {
    let mut peer = opened(Access::ReadWrite);
    assert_eq!(peer.exchange(bytes), []);
    assert_eq!(peer.events, [Event::Violation(expected)]);
    assert!(peer.session.should_close() && !peer.session.wants_read());
    assert_eq!(
        peer.exchange(&frame(header(66), &[])),
        [],
        "a broken session answers nothing"
    );
}

/// Exactly one error comes back, with all of the call's header, and the session goes on.
fn assert_refused(peer: &mut Peer, bytes: &[u8], text: &str) {
    let sent = peer.exchange(bytes);
    let expected = Answer::Error(header_of(bytes), RemoteError::rpc(text));
    assert_eq!(answers(&sent), [expected], "{text}");
    let ping = Header {
        procedure: Header::PING,
        ..Header::pong()
    };
    let sent = peer.exchange(&frame(ping, &[]));
    assert_eq!(answers(&sent), [Answer::Message(Header::pong())], "{text}");
}

/// The header of the reply that is due to a message of ours.
fn header_of(bytes: &[u8]) -> Header {
    let mut from = eventry::wire::Decoder::new(&bytes[4..]);
    let header: Header = eventry::wire::Xdr::decode(&mut from).expect("a header");
    header.reply(Status::Error)
}

fn header(procedure: i32) -> Header {
    Header {
        procedure,
        ..Header::call(&PROCEDURES[0], SERIAL)
    }
}

fn frame(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, header, |_| {}).expect("a header");
    bytes.extend(payload);
    let length = u32::try_from(bytes.len()).expect("a message");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn call_frame(call: &Call) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, Header::call(call.procedure(), SERIAL), |to| {
        call.encode(to)
    })
    .expect("a call");
    bytes
}

fn open_frame(uri: &str, flags: u32) -> Vec<u8> {
    call_frame(&Call::ConnectOpen(ConnectOpenArgs {
        name: Some(uri.into()),
        flags,
    }))
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn test_domain() -> DomainRef {
    let uuid = uuid!("6695eb01-f6a4-8304-79aa-97f2502e193f");
    DomainRef {
        name: WireString::from("test"),
        uuid,
        id: 1,
    }
}
