//! Calls that a client may not make.

use super::*;

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
        (message_with(header(2), &[]), "authentication required"),
        // The authentication is checked before the arguments are decoded.
        (message_with(header(23), &[]), "authentication required"),
        (message_with(header(9_999), &[]), "unknown procedure: 9999"),
        (
            message_with(
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
    let list = |peer: &mut Peer| match &answers(&peer.exchange(&message_with(header(66), &[])))[..]
    {
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
        // In the same write: the result of the open decides about the next call.
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
fn read_only_session_may_make_only_read_calls() {
    // Literal numbers, so that a wrong change of the table does not change the test.
    const HARMLESS: [i32; 30] = [
        1, 2, 3, 4, 6, 15, 16, 19, 22, 23, 24, 59, 60, 66, 67, 68, 69, 70, 110, 121, 122, 150, 151,
        157, 183, 212, 273, 360, 361, 426,
    ];
    // The procedures that are served and change something.
    const HARMFUL: [i32; 3] = [12, 28, 34];
    assert_eq!(PROCEDURES.len(), HARMLESS.len() + HARMFUL.len());
    // libvirt's last procedure is 453. Numbers above it, below 0 and far out of range are unknown.
    let far_out = [i32::MIN, i32::MIN + 1, -100, 0x2000_8086, i32::MAX];
    // A read-only service, and a connection opened read-only.
    let sessions: [fn() -> Peer; 2] = [
        || opened(Access::ReadOnly),
        || {
            let mut peer = Peer::new(driver(), SessionConfig::default());
            peer.exchange(&open_frame("test:///default", 1));
            assert_eq!(peer.session.access(), Access::ReadOnly);
            peer
        },
    ];
    for (number, session) in (-2..=1_000)
        .chain(far_out)
        .flat_map(|number| sessions.map(|session| (number, session)))
    {
        let mut peer = session();
        // Arguments for any procedure: a domain and more words than any needs.
        let mut payload = words(&[4]);
        payload.extend(b"test");
        payload.extend(test_domain().uuid.as_bytes());
        payload.extend([0; 64]);
        let sent = answers(&peer.exchange(&message_with(header(number), &payload)));
        let refusal = if HARMFUL.contains(&number) {
            let api = ["virDomainDestroy", "virDomainResume", "virDomainSuspend"];
            let at = HARMFUL.iter().position(|harmful| *harmful == number);
            RemoteError::read_only(api[at.expect("one of them")])
        } else {
            RemoteError::rpc(&format!("unknown procedure: {number}"))
        };
        let refused = matches!(&sent[..], [Answer::Error(_, error)] if *error == refusal);
        assert_eq!(refused, !HARMLESS.contains(&number), "{number}: {sent:?}");
    }
    for procedure in PROCEDURES {
        let allowed = procedure.read_only == Permission::Allow;
        assert_eq!(
            allowed,
            HARMLESS.contains(&procedure.number),
            "{}",
            procedure.name
        );
    }
}
