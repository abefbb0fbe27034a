//! The server's side of a TLS connection against a rustls client, without sockets.

use eventryd::net::tls::{
    ClientCertError, TlsContext, TlsSession, TlsSessionError, TlsSettings, wall_clock,
};
use proptest::prelude::*;
use rustls::ClientConnection;
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};
use test_support::tls::{Version, client_config, committed_files, server_name};

/// The record type of all encrypted records in TLS 1.3, and of application data in TLS 1.2.
const DATA: u8 = 23;

fn settings() -> TlsSettings {
    TlsSettings::new(committed_files())
}

static CONTEXT: LazyLock<Arc<TlsContext>> =
    LazyLock::new(|| Arc::new(TlsContext::load(&settings(), wall_clock).unwrap()));

fn client(version: Version, with_certificate: bool) -> ClientConnection {
    let config = client_config(&committed_files(), version, with_certificate);
    ClientConnection::new(config, server_name()).unwrap()
}

/// Returns the pending output of the client.
fn output_of_client(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn output_of(session: &mut TlsSession) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_to(&mut bytes).unwrap();
    }
    bytes
}

/// Passes bytes to the client, and returns the received plaintext.
fn feed_client(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plaintext: Vec<u8> = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let _ = client.reader().read_to_end(&mut plaintext);
    }
    plaintext
}

/// Returns the types and lengths of the records in `bytes`.
fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "the bytes end within a record");
    records
}

/// The results of one connection.
#[derive(Debug, PartialEq, Eq)]
struct ConnectionResult {
    /// The plaintext that the server received.
    plaintext: Vec<u8>,
    /// The plaintext that the client received.
    answers: Vec<u8>,
    /// The error that ended the connection.
    failure: Option<String>,
}

/// Runs a connection: the handshake, then `messages`, each in its own record, which the server echoes. The client's
/// output arrives in pieces of the given lengths, in turn.
fn connection(version: Version, messages: &[Vec<u8>], pieces: &[usize]) -> ConnectionResult {
    let mut pieces = pieces.iter().copied().cycle();
    let (mut client, mut session) = (client(version, true), CONTEXT.accept().unwrap());
    let mut result = ConnectionResult {
        plaintext: Vec::new(),
        answers: Vec::new(),
        failure: None,
    };
    let mut unsent = messages.iter();
    loop {
        let sent = output_of_client(&mut client);
        if sent.is_empty() && !client.is_handshaking() && !result.answers.is_empty() {
            let Some(message) = unsent.next() else {
                return result;
            };
            client.writer().write_all(message).unwrap();
            continue;
        }
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(pieces.next().unwrap().clamp(1, rest.len()));
            rest = later;
            let before = result.plaintext.len();
            let received = session.receive(piece, |bytes| result.plaintext.extend(bytes));
            if let Err(failure) = received {
                result.failure = Some(failure.to_string());
                return result;
            }
            let echo = &result.plaintext[before..];
            assert_eq!(session.send(echo), echo.len());
        }
        let answer = output_of(&mut session);
        result.answers.extend(feed_client(&mut client, &answer));
    }
}

/// Completes a handshake; returns both sides and the last output of the server.
fn opened(version: Version) -> (ClientConnection, TlsSession, Vec<u8>) {
    let (mut client, mut session) = (client(version, true), CONTEXT.accept().unwrap());
    loop {
        let output = output_of_client(&mut client);
        let received = session.receive(&output, |_| panic!("the client has sent no data"));
        if received.unwrap().opened {
            let bytes = output_of(&mut session);
            return (client, session, bytes);
        }
        feed_client(&mut client, &output_of(&mut session));
    }
}

/// DM-1203: libvirt's clients read once and expect exactly this byte.
#[test]
fn the_byte_1_comes_first_and_alone_and_there_are_no_tickets() {
    let (mut client, _, bytes) = opened(Version::Tls13);
    // One byte, its type, and 16 bytes of the cipher.
    assert_eq!(records(&bytes), [(DATA, 18)]);
    assert_eq!(feed_client(&mut client, &bytes), [1]);

    let (mut client, _, bytes) = opened(Version::Tls12);
    // One byte, a nonce of 8 bytes, and 16 bytes of the cipher.
    assert_eq!(records(&bytes).last(), Some(&(DATA, 25)));
    let data = |records: Vec<(u8, usize)>| records.iter().filter(|(kind, _)| *kind == DATA).count();
    assert_eq!(data(records(&bytes)), 1);
    assert_eq!(feed_client(&mut client, &bytes), [1]);
}

/// DM-813: libvirtd does not handle the second and later messages until more bytes arrive.
#[test]
fn six_messages_in_one_record_are_handed_out_at_once() {
    for version in [Version::Tls12, Version::Tls13] {
        let (mut client, mut session, bytes) = opened(version);
        feed_client(&mut client, &bytes);
        let messages = [7; 6 * 28];
        client.writer().write_all(&messages).unwrap();
        let record = output_of_client(&mut client);
        assert_eq!(records(&record).len(), 1);
        let mut plaintext: Vec<u8> = Vec::new();
        session
            .receive(&record, |bytes| plaintext.extend(bytes))
            .unwrap();
        assert_eq!(plaintext, messages);
    }
}

#[test]
fn data_sent_before_the_confirmation_is_kept() {
    let (mut client, mut session) = (client(Version::Tls13, true), CONTEXT.accept().unwrap());
    client.writer().write_all(b"early").unwrap();
    let mut plaintext: Vec<u8> = Vec::new();
    for _ in 0..2 {
        let output = output_of_client(&mut client);
        session
            .receive(&output, |bytes| plaintext.extend(bytes))
            .unwrap();
        let answer = output_of(&mut session);
        if session.is_open() {
            assert_eq!(feed_client(&mut client, &answer), [1]);
        } else {
            feed_client(&mut client, &answer);
        }
    }
    assert_eq!(plaintext, b"early");
}

#[test]
fn missing_client_certificate_closes_without_an_alert() {
    for version in [Version::Tls12, Version::Tls13] {
        let (mut client, mut session) = (client(version, false), CONTEXT.accept().unwrap());
        let refused = loop {
            let output = output_of_client(&mut client);
            match session.receive(&output, |_| panic!("plaintext of a rejected client")) {
                Ok(_) => feed_client(&mut client, &output_of(&mut session)),
                Err(refused) => break refused,
            };
        };
        assert!(matches!(
            refused,
            TlsSessionError::ClientCertificate {
                name: None,
                error: ClientCertError::Missing
            }
        ));
        // For the client the handshake completes, and no data follow.
        assert_eq!(session.send(b"anything"), 0);
        let last = output_of(&mut session);
        let alert = 21;
        assert!(
            !records(&last)
                .iter()
                .any(|(kind, _)| [DATA, alert].contains(kind))
        );
        assert_eq!(feed_client(&mut client, &last), b"");
        assert!(!client.is_handshaking());
        // Further input is an error too.
        assert!(
            session
                .receive(b"more", |_| panic!("plaintext after the end"))
                .is_err()
        );
    }
}

#[test]
fn debug_output_of_tls_has_counts_and_no_key() {
    let text = format!("{:?}", *CONTEXT);
    let expected = "TlsContext { authorities: 1, revocations: 0, allowed: None, verify: true, .. }";
    assert_eq!(text, expected);
    let session = CONTEXT.accept().unwrap();
    let expected = "TlsSession { is_open: false, peer: None, .. }";
    assert_eq!(format!("{session:?}"), expected);
    let (_, session, _) = opened(Version::Tls13);
    let text = format!("{session:?}");
    assert!(
        text.contains("is_open: true, peer: Some(TlsPeer { name: "),
        "{text}"
    );
}

/// DM-1202
#[test]
fn our_own_certificates_are_checked_unless_the_checks_are_off() {
    let load = |change: fn(&mut TlsSettings), sanity_checks| {
        let mut settings = settings();
        settings.sanity_checks = sanity_checks;
        change(&mut settings);
        TlsContext::load(&settings, wall_clock).map_err(|error| error.to_string())
    };
    let of_client: fn(&mut TlsSettings) = |settings| {
        settings.files.ca = settings.files.ca.with_file_name("client.pem");
    };
    let refused = load(of_client, true).unwrap_err();
    assert!(refused.contains("basic constraints"), "{refused}");
    load(of_client, false).unwrap();
    // A wrong extended key usage that is not critical is a warning.
    let as_server: fn(&mut TlsSettings) = |settings| {
        let server = &mut settings.files.server[0];
        server.certificate = server.certificate.with_file_name("client.pem");
        server.key = server.key.with_file_name("client.key");
    };
    let warned = load(as_server, true).unwrap();
    assert!(warned.warnings()[0].contains("extended key usage"));
    assert!(load(as_server, false).unwrap().warnings().is_empty());
}

#[test]
fn accepted_peer_has_the_name_of_its_certificate() {
    let (_, session, _) = opened(Version::Tls13);
    let name = session.peer().map(|peer| peer.name.as_str());
    assert_eq!(name, Some("O=eventry,CN=client"));
}

#[test]
fn close_notify_ends_the_input_and_later_bytes_are_ignored() {
    let (mut client, mut session, bytes) = opened(Version::Tls13);
    feed_client(&mut client, &bytes);
    client.writer().write_all(b"last").unwrap();
    client.send_close_notify();
    let mut sent = output_of_client(&mut client);
    sent.extend(b"junk");
    let mut plaintext: Vec<u8> = Vec::new();
    let received = session.receive(&sent, |bytes| plaintext.extend(bytes));
    assert!(received.unwrap().ended);
    assert_eq!(plaintext, b"last");
    // The server can still send replies.
    assert_eq!(session.send(b"answer"), 6);
    assert_eq!(
        feed_client(&mut client, &output_of(&mut session)),
        b"answer"
    );
}

/// For a client that does not read, the server keeps at most 64 KiB and a record.
#[test]
fn unsent_output_is_bounded() {
    let (_, mut session, _) = opened(Version::Tls13);
    let much = vec![0; 1 << 20];
    let mut taken = 0;
    loop {
        match session.send(&much[taken..]) {
            0 => break,
            count => taken += count,
        }
    }
    assert!((32 << 10..=64 << 10).contains(&taken), "{taken}");
    assert!(output_of(&mut session).len() <= 128 << 10);
}

#[test]
fn plain_bytes_are_no_tls() {
    for bytes in [
        &b"\0\0\0\x1c\x20\0\x80\x86\0\0\0\x01\0\0\0\x42\0\0\0\0\0\0\0\0\0\0\0\0"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16no TLS",
    ] {
        let error = error_of(bytes);
        let start = "TLS failed: the client does not speak TLS (received corrupt message of type ";
        assert!(error.starts_with(start) && error.ends_with(')'), "{error}");
    }
}

/// Returns the error of a session after these bytes.
fn error_of(bytes: &[u8]) -> String {
    let mut session = CONTEXT.accept().unwrap();
    let received = session.receive(bytes, |_| panic!("plaintext of bytes that are not TLS"));
    let error = received.unwrap_err();
    assert!(matches!(error, TlsSessionError::Protocol(_)), "{error}");
    error.to_string()
}

/// Returns a `ClientHello` of TLS 1.1 with these extensions.
fn old_hello(extensions: &[u8]) -> Vec<u8> {
    // The random bytes, no session, one cipher suite, no compression.
    let fixed = [&[7; 32][..], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let body = [&[3, 2], &fixed[..], &length(extensions), extensions].concat();
    let message = [&[1, 0], &length(&body)[..], &body].concat();
    [&[0x16, 3, 1], &length(&message)[..], &message].concat()
}

#[test]
fn client_of_tls_1_1_is_named_in_plain_words() {
    let signature_algorithms = [0, 13, 0, 10, 0, 8, 4, 3, 8, 7, 8, 4, 4, 1];
    for (extensions, expected) in [
        (
            &[][..],
            "the client seems to offer only TLS 1.1 or older; TLS 1.2 is needed (peer is incompatible: \
             SignatureAlgorithmsExtensionRequired)",
        ),
        (
            &signature_algorithms,
            "the client offers only TLS 1.1 or older; TLS 1.2 is needed (peer is incompatible: Tls12NotOffered)",
        ),
    ] {
        let error = error_of(&old_hello(extensions));
        assert_eq!(error, format!("TLS failed: {expected}"));
    }
}

/// Bytes that are no record after a handshake do not come from a client without TLS.
#[test]
fn corrupt_record_of_a_tls_client_keeps_its_error() {
    let (_, mut session, _) = opened(Version::Tls13);
    let received = session.receive(b"GET / HTTP/1.1\r\n\r\n", |_| ());
    let error = received.unwrap_err().to_string();
    assert!(
        error.starts_with("TLS failed: received corrupt message"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn splits_of_the_input_change_nothing(
        pieces in prop::collection::vec(1..400_usize, 1..8),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
        old in any::<bool>(),
    ) {
        let version = if old { Version::Tls12 } else { Version::Tls13 };
        let whole = connection(version, &messages, &[usize::MAX]);
        prop_assert_eq!(&whole.failure, &None);
        prop_assert_eq!(&whole.plaintext, &messages.concat());
        prop_assert_eq!(&whole.answers[1..], &messages.concat());
        prop_assert_eq!(connection(version, &messages, &pieces), whole);
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
        let mut session = CONTEXT.accept().unwrap();
        let _ = session.receive(&bytes, |_| panic!("plaintext of a rejected client"));
        let (_, mut session, _) = opened(Version::Tls13);
        let _ = session.receive(&bytes, |_| panic!("plaintext of bytes that are not encrypted"));
    }
}
