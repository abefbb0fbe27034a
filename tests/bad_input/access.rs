//! Calls that a client may not make.

use crate::*;

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
