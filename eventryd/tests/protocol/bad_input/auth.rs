//! Failed and malformed authentication.

use super::*;
use eventryd::session::Refusal;
use eventryd::wire::{CharArray, SASL_DATA_MAX, SaslStartArgs, SaslStepArgs};
use test_support::peer::{NONCE, PASSWORD, USER};
use test_support::scram::{base64, proof};

const CLIENT_FIRST: &str = "n,,n=fred,r=abc";

fn sasl_peer() -> Peer {
    let auth = Auth::Sasl;
    Peer::new(
        driver(),
        SessionConfig {
            auth,
            ..SessionConfig::default()
        },
    )
}

fn init() -> Vec<u8> {
    call_frame(&Call::AuthSaslInit(()))
}

fn start(mechanism: &str, data: Option<&[u8]>) -> Vec<u8> {
    call_frame(&Call::AuthSaslStart(SaslStartArgs {
        mech: mechanism.into(),
        nil: i32::from(data.is_none()),
        data: CharArray(data.unwrap_or_default().to_owned()),
    }))
}

fn step(data: Option<&[u8]>) -> Vec<u8> {
    call_frame(&Call::AuthSaslStep(SaslStepArgs {
        nil: i32::from(data.is_none()),
        data: CharArray(data.unwrap_or_default().to_owned()),
    }))
}

fn polkit() -> Vec<u8> {
    call_frame(&Call::AuthPolkit(()))
}

fn assert_failed(peer: &mut Peer, bytes: &[u8], what: &str) {
    let sent = answers(&peer.exchange(bytes));
    let expected = Answer::Error(header_of(bytes), RemoteError::authentication_failed());
    assert_eq!(sent, [expected], "{what}");
}

/// Returns `complete`, `nil` and the data of a SASL reply, which must be a success.
fn reply_data(peer: &mut Peer, bytes: &[u8]) -> (i32, i32, Vec<u8>) {
    match &answers(&peer.exchange(bytes))[..] {
        [Answer::Ok(_, Reply::AuthSaslStart(ret) | Reply::AuthSaslStep(ret))] => {
            (ret.complete, ret.nil, ret.data.0.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn log_in(peer: &mut Peer, password: &[u8]) -> Vec<u8> {
    peer.exchange(&init());
    let (complete, nil, challenge) =
        reply_data(peer, &start("SCRAM-SHA-256", Some(CLIENT_FIRST.as_bytes())));
    assert_eq!((complete, nil), (0, 0));
    assert!(CLIENT_FIRST.contains(USER));
    let nonce = format!("r=abc{},", base64(&NONCE));
    assert!(challenge.starts_with(nonce.as_bytes()));
    step(Some(&proof(CLIENT_FIRST, password, &challenge)))
}

#[test]
fn right_password_completes_the_login() {
    let mut peer = sasl_peer();
    let last = log_in(&mut peer, PASSWORD);
    assert!(!peer.session.is_authenticated());
    let (complete, nil, data) = reply_data(&mut peer, &last);
    assert_eq!((complete, nil), (1, 0));
    assert!(data.starts_with(b"v="));
    assert!(peer.session.is_authenticated());
    let sent = peer.exchange(&open_frame("test:///default", 0));
    assert!(matches!(answers(&sent)[..], [Answer::Ok(..)]));
    assert_eq!(peer.events, []);
}

#[test]
fn scram_without_client_first_gets_an_empty_challenge() {
    let mut peer = sasl_peer();
    peer.exchange(&init());
    assert_eq!(
        reply_data(&mut peer, &start("SCRAM-SHA-256", None)),
        (0, 1, vec![])
    );
    let (_, _, challenge) = reply_data(&mut peer, &step(Some(CLIENT_FIRST.as_bytes())));
    let (complete, ..) = reply_data(
        &mut peer,
        &step(Some(&proof(CLIENT_FIRST, PASSWORD, &challenge))),
    );
    assert_eq!(complete, 1);
}

#[test]
fn third_wrong_password_ends_the_session() {
    let mut peer = sasl_peer();
    for _ in 0..2 {
        let last = log_in(&mut peer, b"wrong");
        assert_failed(&mut peer, &last, "wrong password");
        assert!(!peer.session.should_close());
    }
    let last = log_in(&mut peer, b"wrong");
    // A call after the last failure in the same write has no effect.
    let both = [last.clone(), open_frame("test:///default", 0)].concat();
    let sent = answers(&peer.exchange(&both));
    let expected = Answer::Error(header_of(&last), RemoteError::authentication_failed());
    assert_eq!(sent, [expected]);
    assert_eq!(peer.session.state(), SessionState::Denied);
    assert!(peer.session.should_close());
}

#[test]
fn a_wrong_password_and_then_the_right_one_is_let_in() {
    let mut peer = sasl_peer();
    let last = log_in(&mut peer, b"wrong");
    assert_failed(&mut peer, &last, "wrong password");
    let last = log_in(&mut peer, PASSWORD);
    assert_eq!(reply_data(&mut peer, &last).0, 1);
}

#[test]
fn a_step_out_of_turn_fails_and_changes_nothing() {
    let scram = |data: &str| start("SCRAM-SHA-256", Some(data.as_bytes()));
    for (before, out_of_turn) in [
        (vec![], scram(CLIENT_FIRST)),
        (vec![], step(None)),
        (vec![], polkit()),
        (vec![init()], init()),
        (vec![init()], step(Some(b"c=biws,r=abc,p=AAAA"))),
        (vec![init(), scram(CLIENT_FIRST)], init()),
        (vec![init(), scram(CLIENT_FIRST)], scram(CLIENT_FIRST)),
    ] {
        let mut peer = sasl_peer();
        for bytes in &before {
            peer.exchange(bytes);
        }
        assert_failed(&mut peer, &out_of_turn, "out of turn");
        assert!(
            matches!(
                peer.events[..],
                [Event::Refused {
                    refusal: Refusal::AuthenticationOutOfTurn(_),
                    ..
                }]
            ),
            "{:?}",
            peer.events
        );
        // The exchange continues at the same step.
        if before.is_empty() {
            peer.exchange(&init());
        }
        let challenge = if before.len() < 2 {
            reply_data(&mut peer, &scram(CLIENT_FIRST)).2
        } else {
            format!("r=abc{},s={},i=4096", base64(&NONCE), base64(&[2; 16])).into_bytes()
        };
        let (complete, ..) = reply_data(
            &mut peer,
            &step(Some(&proof(CLIENT_FIRST, PASSWORD, &challenge))),
        );
        assert_eq!(complete, 1);
    }
}

#[test]
fn malformed_scram_fails_and_stays_connected() {
    for (mechanism, data) in [
        ("NOPE", Some(&b""[..])),
        ("", None),
        ("SCRAM-SHA-256,", None),
        ("scram-sha-256", Some(CLIENT_FIRST.as_bytes())),
        ("SCRAM-SHA-256-PLUS", Some(CLIENT_FIRST.as_bytes())),
        ("PLAIN", Some(b"\0fred\0pencil")),
        ("SCRAM-SHA-256", Some(b"")),
        ("SCRAM-SHA-256", Some(b"\xff\xfe")),
        ("SCRAM-SHA-256", Some(&[b'a'; SASL_DATA_MAX - 64])),
    ] {
        let mut peer = sasl_peer();
        peer.exchange(&init());
        assert_failed(&mut peer, &start(mechanism, data), mechanism);
        assert_alive(&mut peer);
        assert!(!peer.session.is_authenticated());
    }
    for last in [
        None,
        Some(&b""[..]),
        Some(b"c=biws,r=abc,p=AAAA"),
        Some(&[0xff; 1000]),
    ] {
        let mut peer = sasl_peer();
        peer.exchange(&init());
        reply_data(
            &mut peer,
            &start("SCRAM-SHA-256", Some(CLIENT_FIRST.as_bytes())),
        );
        assert_failed(&mut peer, &step(last), "no proof");
        assert_failed(&mut peer, &step(last), "the exchange must start again");
    }
}

#[test]
fn more_data_than_may_be_does_not_decode() {
    let mut peer = sasl_peer();
    peer.exchange(&init());
    // The length is checked first. So much data would not fit into a message before authentication.
    let mut payload = words(&[13]);
    payload.extend(b"SCRAM-SHA-256\0\0\0");
    payload.extend(words(&[0, 65_537]));
    payload.extend([0; 4_096]);
    let text = "Unable to decode message payload";
    assert_refused(&mut peer, &message_with(header(68), &payload), text);
    assert!(!peer.session.is_authenticated());
}

#[test]
fn message_over_256_kib_before_login_ends_the_session() {
    for (length, ends) in [(256 << 10, false), ((256 << 10) + 1, true)] {
        let mut peer = sasl_peer();
        let length: u32 = length;
        peer.exchange(&length.to_be_bytes());
        assert_eq!(peer.session.should_close(), ends, "{length}");
        assert_eq!(peer.events.len(), usize::from(ends));
    }
    let mut peer = sasl_peer();
    let last = log_in(&mut peer, PASSWORD);
    peer.exchange(&last);
    peer.exchange(&1_000_000_u32.to_be_bytes());
    assert!(
        !peer.session.should_close(),
        "the limit does not apply after authentication"
    );
}

#[test]
fn the_calls_of_another_scheme_fail() {
    let peer = |auth| {
        Peer::new(
            driver(),
            SessionConfig {
                auth,
                ..SessionConfig::default()
            },
        )
    };
    for auth in [Auth::None, Auth::Polkit] {
        for call in [init(), start("SCRAM-SHA-256", None), step(None)] {
            assert_failed(&mut peer(auth), &call, "SASL");
        }
    }
    for auth in [Auth::None, Auth::Sasl] {
        assert_failed(&mut peer(auth), &polkit(), "polkit");
    }
    // A client that needs no authentication is not closed for failures.
    let mut unasked = peer(Auth::None);
    for _ in 0..10 {
        assert_failed(&mut unasked, &polkit(), "polkit");
    }
    assert_alive(&mut unasked);
}

#[test]
fn root_passes_polkit_with_auth_list() {
    let peer = |peer_is_root| {
        Peer::new(
            driver(),
            SessionConfig {
                auth: Auth::Polkit,
                peer_is_root,
                ..SessionConfig::default()
            },
        )
    };
    let list = |peer: &mut Peer| match &answers(&peer.exchange(&message_with(header(66), &[])))[..]
    {
        [Answer::Ok(_, Reply::AuthList(list))] => list.types.0.clone(),
        other => panic!("{other:?}"),
    };
    let mut root = peer(true);
    assert_refused(
        &mut root,
        &open_frame("test:///default", 0),
        "authentication required",
    );
    assert_eq!(list(&mut root), [0]);
    let sent = root.exchange(&open_frame("test:///default", 0));
    assert!(matches!(answers(&sent)[..], [Answer::Ok(..)]));

    let mut other = peer(false);
    assert_eq!(list(&mut other), [2]);
    assert_refused(
        &mut other,
        &open_frame("test:///default", 0),
        "authentication required",
    );
    let sent = other.exchange(&polkit());
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::AuthPolkit(ret))] if ret.complete == 1
    ));
    let sent = other.exchange(&open_frame("test:///default", 0));
    assert!(matches!(answers(&sent)[..], [Answer::Ok(..)]));
}
