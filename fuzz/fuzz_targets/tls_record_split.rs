//! A TLS connection in pieces: the server decrypts and sends the same plaintext, and fails at the same byte, as when the
//! bytes arrive in one piece.
//!
//! An input selects the version, the client's messages, each in a record, a damaged byte after the handshake, and the
//! lengths of the pieces. The handshake's random numbers, and so the cipher text, differ between runs; neither is compared.

#![no_main]

use arbitrary::Arbitrary;
use eventryd::net::tls::{TlsContext, TlsSession, TlsSettings};
use libfuzzer_sys::fuzz_target;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use test_support::tls::{Version, client_config, committed_files, server_name};

#[derive(Arbitrary, Debug)]
struct Script {
    old: bool,
    with_certificate: bool,
    /// Messages of the client, each in a record of its own.
    messages: Vec<Vec<u8>>,
    /// Position of the damaged byte in the client's bytes after the handshake, and the bits to flip.
    damage: (u16, u8),
    /// Lengths of the pieces minus one, repeated cyclically.
    pieces: Vec<u8>,
}

fuzz_target!(|script: Script| {
    let whole = play(&script, None);
    assert_eq!(play(&script, Some(&script.pieces)), whole);
});

/// Result of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    plaintext: Vec<u8>,
    /// Plaintext that the client decrypted: the byte 1, and its echoed messages.
    answers: Vec<u8>,
    opened: bool,
    failed: bool,
    name: Option<String>,
}

/// Runs the script; the server receives its input in `pieces`.
fn play(script: &Script, pieces: Option<&[u8]>) -> Outcome {
    let version = usize::from(script.old);
    let config = &CLIENTS[version][usize::from(script.with_certificate)];
    let mut client = ClientConnection::new(Arc::clone(config), server_name()).expect("a client");
    let mut session = CONTEXT.accept().expect("a session");
    let mut outcome = Outcome::default();
    let mut sent = 0;
    let mut unsent = script.messages.iter();
    loop {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("memory");
        }
        if flight.is_empty() {
            let is_open = outcome.opened && !client.is_handshaking();
            let Some(message) = unsent.next().filter(|_| is_open) else {
                break;
            };
            client.writer().write_all(message).expect("memory");
            continue;
        }
        if outcome.opened {
            let damaged = usize::from(script.damage.0).checked_sub(sent);
            if let Some(byte) = damaged.and_then(|at| flight.get_mut(at)) {
                *byte ^= script.damage.1;
            }
            sent += flight.len();
        }
        if !receive(&mut session, &flight, pieces, &mut outcome) {
            outcome.failed = true;
            break;
        }
        if !answer(&mut session, &mut client, &mut outcome.answers) {
            break;
        }
    }
    outcome.name = session.peer().map(|peer| peer.name.clone());
    outcome
}

/// Passes bytes to the server; returns false if the session failed.
fn receive(
    session: &mut TlsSession,
    bytes: &[u8],
    pieces: Option<&[u8]>,
    outcome: &mut Outcome,
) -> bool {
    let mut rest = bytes;
    let mut lengths = pieces.unwrap_or_default().iter().cycle();
    while !rest.is_empty() {
        let length = lengths
            .next()
            .map_or(rest.len(), |length| usize::from(*length) + 1);
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        let before = outcome.plaintext.len();
        let received = session.receive(piece, |bytes| outcome.plaintext.extend_from_slice(bytes));
        let Ok(received) = received else {
            return false;
        };
        outcome.opened |= received.opened;
        let echo = &outcome.plaintext[before..];
        assert!(
            echo.is_empty() || session.is_open(),
            "plaintext before the session is open"
        );
        session.send(echo);
    }
    true
}

/// Passes the server's output to the client; returns false if the client failed.
fn answer(session: &mut TlsSession, client: &mut ClientConnection, answers: &mut Vec<u8>) -> bool {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_to(&mut bytes).expect("memory");
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        if client.read_tls(&mut rest).is_err() || client.process_new_packets().is_err() {
            return false;
        }
        let _ = client.reader().read_to_end(answers);
    }
    true
}

static CONTEXT: LazyLock<Arc<TlsContext>> = LazyLock::new(|| {
    let settings = TlsSettings::new(committed_files());
    // In 2030, when the certificates are valid.
    let clock = || Duration::from_secs(1_893_456_000);
    Arc::new(TlsContext::load(&settings, clock).expect("the files of the tests"))
});

/// Client configurations by version, without and with a certificate.
static CLIENTS: LazyLock<[[Arc<ClientConfig>; 2]; 2]> = LazyLock::new(|| {
    [Version::Tls13, Version::Tls12].map(|version| {
        [false, true].map(|with_certificate| {
            let mut config = client_config(&committed_files(), version, with_certificate);
            let own = Arc::get_mut(&mut config).expect("not shared yet");
            own.resumption = Resumption::disabled();
            config
        })
    })
});
