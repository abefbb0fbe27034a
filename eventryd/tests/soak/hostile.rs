//! The attacks of hostile clients. The daemon may close their connections at any point.

use crate::Rng;
use crate::target::{ClientStream, Role, SERVICES, Service, Target};
use rustix::net::sockopt::set_socket_linger;
use rustls::ClientConnection;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;
use test_support::rpc::{
    AUTH_LIST, CONNECT_OPEN, FEATURE_KEEPALIVE, GET_HOSTNAME, SASL_INIT, SASL_START, SASL_STEP,
    SUPPORTS_FEATURE, message, open_arguments, read_message,
};
use test_support::sasl::{data, start_arguments};
use test_support::scram::proof;
use test_support::tls::{Tls, Version, server_name};

pub(crate) type Attack = fn(&Target, &mut Rng) -> io::Result<()>;

/// All attacks, with their names.
pub(crate) const ATTACKS: [(&str, Attack); 22] = [
    ("connects and closes", connects_and_closes),
    ("is silent", is_silent),
    ("sends a byte at a time", sends_a_byte_at_a_time),
    ("claims the longest message", claims_the_longest_message),
    ("never reads", never_reads),
    ("sends garbage", sends_garbage),
    ("sends invalid lengths", sends_invalid_lengths),
    ("disconnects in mid-message", disconnects_in_mid_message),
    ("disconnects in mid-reply", disconnects_in_mid_reply),
    ("resets in mid-reply", resets_in_mid_reply),
    ("closes half and reads", closes_half_and_reads),
    ("makes unknown calls", makes_unknown_calls),
    ("does not answer pings", does_not_answer_pings),
    ("connects 120 times at once", connects_120_times),
    ("fails to log in", fails_to_log_in),
    ("abandons a login", abandons_a_login),
    (
        "sends plaintext to the TLS port",
        sends_plaintext_to_the_tls_port,
    ),
    ("sends half a hello", sends_half_a_hello),
    ("makes 8 handshakes at once", makes_8_handshakes),
    ("sends no certificate", sends_no_certificate),
    ("sends a broken TLS record", sends_a_broken_tls_record),
    ("disconnects in a TLS record", disconnects_in_a_tls_record),
];

fn any_service(rng: &mut Rng) -> Service {
    SERVICES[rng.below(SERVICES.len())]
}

/// Returns a random service without authentication.
fn any_open_service(rng: &mut Rng) -> Service {
    [Service::ReadWrite, Service::Tcp, Service::Tls][rng.below(3)]
}

fn open(target: &Target, service: Service) -> io::Result<ClientStream> {
    let mut stream = target.connect(service, Role::Hostile)?;
    stream.write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
    read_message(&mut stream)?;
    Ok(stream)
}

/// Reads until the end of the stream, an error or the timeout.
fn read_to_end(stream: &mut impl Read) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

fn wait(milliseconds: usize) {
    thread::sleep(Duration::from_millis(milliseconds as u64));
}

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    let count = 1 + rng.below(most);
    (0..count)
        .map(|_| rng.below(256).to_le_bytes()[0])
        .collect()
}

fn calls(count: usize) -> Vec<u8> {
    let one = |serial| message(GET_HOSTNAME, serial, &[]);
    (0..count as u32).flat_map(one).collect()
}

fn connects_and_closes(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let streams: io::Result<Vec<ClientStream>> = (0..1 + rng.below(16))
        .map(|_| target.connect_raw(any_service(rng), Role::Hostile))
        .collect();
    streams.map(drop)
}

/// The client waits for a second, or until the daemon closes it.
fn is_silent(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect_raw(any_service(rng), Role::Hostile)?;
    let seconds = if rng.one_in(8) { 7 } else { 1 };
    stream.set_timeout(Duration::from_secs(seconds))?;
    stream.read(&mut [0]).map(drop)
}

/// The message may be incomplete.
fn sends_a_byte_at_a_time(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect(any_service(rng), Role::Hostile)?;
    let call = message(CONNECT_OPEN, 1, &open_arguments());
    for byte in &call[..1 + rng.below(call.len())] {
        stream.write_all(&[*byte])?;
        wait(rng.below(40));
    }
    stream.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut stream);
    Ok(())
}

/// At most the beginning of the message follows.
fn claims_the_longest_message(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect(any_service(rng), Role::Hostile)?;
    let mut call = message(GET_HOSTNAME, 1, &[]);
    let longest: u32 = 4 + (32 << 20);
    call[..4].copy_from_slice(&longest.to_be_bytes());
    stream.write_all(&call)?;
    if rng.one_in(2) {
        stream.write_all(&vec![0; rng.below(1 << 20)])?;
        wait(rng.below(300));
    }
    Ok(())
}

fn never_reads(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = open(target, any_open_service(rng))?;
    stream.set_timeout(Duration::from_millis(300))?;
    let calls = calls(512);
    let mut result = Ok(());
    for _ in 0..200 {
        result = stream.write_all(&calls);
        if result.is_err() {
            break;
        }
    }
    wait(rng.below(1000));
    result
}

fn sends_garbage(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect(any_service(rng), Role::Hostile)?;
    stream.write_all(&bytes(rng, 5000))?;
    stream.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut stream);
    Ok(())
}

fn sends_invalid_lengths(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect(any_service(rng), Role::Hostile)?;
    let length = [0_u32, 3, 4, 27, 5 + (32 << 20), u32::MAX][rng.below(6)];
    let mut call = message(AUTH_LIST, 1, &[]);
    call[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&call)?;
    read_to_end(&mut stream);
    Ok(())
}

fn disconnects_in_mid_message(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = open(target, any_open_service(rng))?;
    let calls = calls(3);
    stream.write_all(&calls[..1 + rng.below(calls.len())])?;
    wait(rng.below(20));
    Ok(())
}

fn disconnects_in_mid_reply(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = open(target, any_open_service(rng))?;
    stream.write_all(&calls(1 + rng.below(200)))?;
    stream.read_exact(&mut vec![0; rng.below(100)])
}

/// The socket is closed with RST instead of FIN.
fn resets_in_mid_reply(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let stream = target.connect_tcp(Role::Hostile)?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    (&stream).write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
    (&stream).write_all(&calls(1 + rng.below(200)))?;
    wait(rng.below(10));
    Ok(())
}

fn closes_half_and_reads(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = open(target, any_open_service(rng))?;
    stream.write_all(&calls(1 + rng.below(100)))?;
    stream.shutdown(Shutdown::Write)?;
    read_to_end(&mut stream);
    Ok(())
}

/// The header has a wrong program, version, procedure, type, serial or status.
fn makes_unknown_calls(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = open(target, any_open_service(rng))?;
    for _ in 0..20 {
        let mut call = message(GET_HOSTNAME, 7, &[]);
        let word = 4 * (1 + rng.below(6));
        let value = [0, 1, 2, 9, u32::MAX, 0x2000_8087][rng.below(6)];
        call[word..word + 4].copy_from_slice(&value.to_be_bytes());
        stream.write_all(&call)?;
    }
    stream.set_timeout(Duration::from_millis(200))?;
    read_to_end(&mut stream);
    Ok(())
}

fn does_not_answer_pings(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = open(target, any_open_service(rng))?;
    stream.write_all(&message(SUPPORTS_FEATURE, 2, &FEATURE_KEEPALIVE))?;
    stream.set_timeout(Duration::from_secs(7))?;
    read_to_end(&mut stream);
    Ok(())
}

fn connects_120_times(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let service = [Service::ReadWrite, Service::Tcp][rng.below(2)];
    let streams: io::Result<Vec<ClientStream>> = (0..120)
        .map(|_| {
            let mut stream = target.connect(service, Role::Hostile)?;
            stream.write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
            Ok(stream)
        })
        .collect();
    wait(300);
    streams.map(drop)
}

/// The daemon closes the connection after three failures.
fn fails_to_log_in(target: &Target, _: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect(Service::ReadOnly, Role::Hostile)?;
    loop {
        let challenge = challenge(&mut stream, "n,,n=fred,r=abc")?;
        let wrong = proof("n,,n=fred,r=abc", b"pencils", &challenge);
        stream.write_all(&message(SASL_STEP, 3, &data(&wrong)))?;
        read_message(&mut stream)?;
    }
}

fn challenge(stream: &mut ClientStream, first: &str) -> io::Result<Vec<u8>> {
    stream.write_all(&message(SASL_INIT, 1, &[]))?;
    read_message(stream)?;
    stream.write_all(&message(SASL_START, 2, &start_arguments(first)))?;
    let (_, reply) = read_message(stream)?;
    Ok(reply
        .get(12..)
        .unwrap_or_default()
        .chunks_exact(4)
        .map(|word| word[3])
        .collect())
}

/// The user does not exist; the last step is missing, random or too long.
fn abandons_a_login(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect(Service::ReadOnly, Role::Hostile)?;
    challenge(&mut stream, "n,,n=unknown,r=abc")?;
    let answer = match rng.below(3) {
        0 => return Ok(()),
        1 => bytes(rng, 200),
        _ => vec![b'x'; 70_000],
    };
    stream.write_all(&message(SASL_STEP, 3, &data(&answer)))?;
    stream.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut stream);
    Ok(())
}

fn sends_plaintext_to_the_tls_port(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = target.connect_raw(Service::Tls, Role::Hostile)?;
    let sent = match rng.below(3) {
        0 => bytes(rng, 3000),
        1 => message(CONNECT_OPEN, 1, &open_arguments()),
        _ => [&[22, 3, 1, 0x3f, 0xff], &bytes(rng, 3000)[..]].concat(),
    };
    stream.write_all(&sent)?;
    stream.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut stream);
    Ok(())
}

fn version(rng: &mut Rng) -> Version {
    [Version::Tls12, Version::Tls13][rng.below(2)]
}

fn sends_half_a_hello(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let config = target.tls_client(version(rng), true);
    let mut client = ClientConnection::new(config, server_name()).expect("a TLS client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello)?;
    let mut stream = target.connect_tls(Role::Hostile)?;
    stream.write_all(&hello[..rng.below(hello.len())])?;
    stream.set_read_timeout(Some(Duration::from_millis(1 + rng.below(1000) as u64)))?;
    read_to_end(&mut stream);
    Ok(())
}

fn handshake(target: &Target, version: Version, with_certificate: bool) -> io::Result<Tls> {
    let config = target.tls_client(version, with_certificate);
    let stream = target.connect_tls(Role::Hostile)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut tls = Tls::over(stream, config);
    tls.read_exact(&mut [0])?;
    Ok(tls)
}

fn makes_8_handshakes(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let version = version(rng);
    let all: io::Result<Vec<Tls>> = (0..8).map(|_| handshake(target, version, true)).collect();
    all.map(drop)
}

fn sends_no_certificate(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let result = handshake(target, version(rng), false);
    assert!(
        result.is_err(),
        "a client without a certificate was accepted"
    );
    Ok(())
}

fn tcp_under_tls(target: &Target, rng: &mut Rng) -> io::Result<TcpStream> {
    let mut tls = handshake(target, version(rng), true)?;
    tls.write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
    tls.0.sock.try_clone()
}

fn sends_a_broken_tls_record(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = tcp_under_tls(target, rng)?;
    let broken = [&[23, 3, 3, 0, 40], &bytes(rng, 100)[..]].concat();
    stream.write_all(&broken)?;
    read_to_end(&mut stream);
    Ok(())
}

/// The connection ends within a record.
fn disconnects_in_a_tls_record(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = tcp_under_tls(target, rng)?;
    stream.write_all(&[23, 3, 3, 0, 40, 1, 2, 3])
}
