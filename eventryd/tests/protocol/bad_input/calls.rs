//! Invalid calls, and unusual calls that are valid.

use super::*;

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
        assert_refused(
            &mut opened(Access::ReadWrite),
            &message_with(header, &[]),
            text,
        );
    }
}

#[test]
fn undecodable_arguments_get_error_39_and_stay_connected() {
    let name = |length: u32, bytes: &[u8]| {
        message_with(header(23), &[&length.to_be_bytes(), bytes].concat())
    };
    for bytes in [
        message_with(header(23), &[]),
        message_with(header(23), &[0, 0, 0]),
        name(8, b"test"),
        name(u32::MAX, b"test"),
        name(4_194_305, &[b'a'; 4_194_308]),
        name(3, b"abc"),
        name(8, b"test\0xyz"),
        message_with(header(1), &[]),
        message_with(header(212), &[0; 8]),
    ] {
        let text = "Unable to decode message payload";
        assert_refused(&mut opened(Access::ReadWrite), &bytes, text);
    }
}

#[test]
fn odd_arguments_that_do_decode_are_looked_up() {
    let name = |length: u32, bytes: &[u8]| {
        message_with(header(23), &[&length.to_be_bytes(), bytes].concat())
    };
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
            panic!("the reply is not a single error")
        };
        assert_eq!(*error, not_found);
    }
    let sent = opened(Access::ReadWrite).exchange(&name(4, b"testtrailing"));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::DomainLookupByName(_))]
    ));
    let sent = opened(Access::ReadWrite).exchange(&message_with(header(66), &[0x55; 4_096]));
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
        panic!("the domain is not found");
    };
    assert_eq!(found.dom, test_domain());
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
            message_with(header(4), &[]),
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
            panic!("the reply for feature {asked} is an error");
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
        "a failed open changes nothing"
    );
    let sent = peer.exchange(&open_frame("test:///default", 0));
    assert!(matches!(&answers(&sent)[..], [Answer::Ok(..)]));
}
