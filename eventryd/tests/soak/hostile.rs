//! What is done to the daemon. That a connection is cut off in the midst of it is expected.

use crate::Rng;
use crate::target::{Line, SERVICES, Service, Target, Who};
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

/// Every kind, and its name.
pub(crate) const ATTACKS: [(&str, Attack); 22] = [
    ("connects and closes", connects_and_closes),
    ("is silent", is_silent),
    ("sends a byte at a time", sends_a_byte_at_a_time),
    ("claims the longest message", claims_the_longest_message),
    ("never reads", never_reads),
    ("sends garbage", sends_garbage),
    ("sends lengths that cannot be", sends_lengths_that_cannot_be),
    ("vanishes in mid-message", vanishes_in_mid_message),
    ("vanishes in mid-reply", vanishes_in_mid_reply),
    ("resets in mid-reply", resets_in_mid_reply),
    ("closes half and reads", closes_half_and_reads),
    ("calls what there is not", calls_what_there_is_not),
    ("does not answer pings", does_not_answer_pings),
    ("comes as a crowd", comes_as_a_crowd),
    ("fails to log in", fails_to_log_in),
    ("logs in by halves", logs_in_by_halves),
    ("sends no TLS to its port", sends_no_tls_to_its_port),
    ("says half a hello", says_half_a_hello),
    ("storms the handshake", storms_the_handshake),
    ("shows no certificate", shows_no_certificate),
    ("breaks a record of TLS", breaks_a_record_of_tls),
    ("drops out of TLS", drops_out_of_tls),
];

fn any(rng: &mut Rng) -> Service {
    SERVICES[rng.below(SERVICES.len())]
}

/// One where calls are made without a login.
fn any_open(rng: &mut Rng) -> Service {
    [Service::ReadWrite, Service::Tcp, Service::Tls][rng.below(3)]
}

fn open(target: &Target, service: Service) -> io::Result<Line> {
    let mut line = target.dial(service, Who::Hostile)?;
    line.write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
    read_message(&mut line)?;
    Ok(line)
}

/// Reads until there is an end, or nothing comes for a while.
fn read_to_end(line: &mut impl Read) {
    let mut buffer = [0; 4096];
    while line.read(&mut buffer).is_ok_and(|count| count > 0) {}
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
    let lines: io::Result<Vec<Line>> = (0..1 + rng.below(16))
        .map(|_| target.dial_raw(any(rng), Who::Hostile))
        .collect();
    lines.map(drop)
}

/// For a while, or until it is told that this was too long.
fn is_silent(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial_raw(any(rng), Who::Hostile)?;
    let seconds = if rng.one_in(8) { 7 } else { 1 };
    line.set_timeout(Duration::from_secs(seconds))?;
    line.read(&mut [0]).map(drop)
}

/// To the end, or not.
fn sends_a_byte_at_a_time(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial(any(rng), Who::Hostile)?;
    let call = message(CONNECT_OPEN, 1, &open_arguments());
    for byte in &call[..1 + rng.below(call.len())] {
        line.write_all(&[*byte])?;
        wait(rng.below(40));
    }
    line.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut line);
    Ok(())
}

/// Of which the beginning comes.
fn claims_the_longest_message(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial(any(rng), Who::Hostile)?;
    let mut call = message(GET_HOSTNAME, 1, &[]);
    let longest: u32 = 4 + (32 << 20);
    call[..4].copy_from_slice(&longest.to_be_bytes());
    line.write_all(&call)?;
    if rng.one_in(2) {
        line.write_all(&vec![0; rng.below(1 << 20)])?;
        wait(rng.below(300));
    }
    Ok(())
}

fn never_reads(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = open(target, any_open(rng))?;
    line.set_timeout(Duration::from_millis(300))?;
    let calls = calls(512);
    let mut stuffed = Ok(());
    for _ in 0..200 {
        stuffed = line.write_all(&calls);
        if stuffed.is_err() {
            break;
        }
    }
    wait(rng.below(1000));
    stuffed
}

fn sends_garbage(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial(any(rng), Who::Hostile)?;
    line.write_all(&bytes(rng, 5000))?;
    line.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut line);
    Ok(())
}

fn sends_lengths_that_cannot_be(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial(any(rng), Who::Hostile)?;
    let length = [0_u32, 3, 4, 27, 5 + (32 << 20), u32::MAX][rng.below(6)];
    let mut call = message(AUTH_LIST, 1, &[]);
    call[..4].copy_from_slice(&length.to_be_bytes());
    line.write_all(&call)?;
    read_to_end(&mut line);
    Ok(())
}

fn vanishes_in_mid_message(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = open(target, any_open(rng))?;
    let calls = calls(3);
    line.write_all(&calls[..1 + rng.below(calls.len())])?;
    wait(rng.below(20));
    Ok(())
}

fn vanishes_in_mid_reply(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = open(target, any_open(rng))?;
    line.write_all(&calls(1 + rng.below(200)))?;
    line.read_exact(&mut vec![0; rng.below(100)])
}

/// Without a farewell of TCP.
fn resets_in_mid_reply(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let stream = target.dial_tcp(Who::Hostile)?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    (&stream).write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
    (&stream).write_all(&calls(1 + rng.below(200)))?;
    wait(rng.below(10));
    Ok(())
}

fn closes_half_and_reads(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = open(target, any_open(rng))?;
    line.write_all(&calls(1 + rng.below(100)))?;
    line.shutdown(Shutdown::Write)?;
    read_to_end(&mut line);
    Ok(())
}

/// Programs, versions, procedures, types and statuses that do not exist, each of which has an answer or none.
fn calls_what_there_is_not(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = open(target, any_open(rng))?;
    for _ in 0..20 {
        let mut call = message(GET_HOSTNAME, 7, &[]);
        let word = 4 * (1 + rng.below(6));
        let value = [0, 1, 2, 9, u32::MAX, 0x2000_8087][rng.below(6)];
        call[word..word + 4].copy_from_slice(&value.to_be_bytes());
        line.write_all(&call)?;
    }
    line.set_timeout(Duration::from_millis(200))?;
    read_to_end(&mut line);
    Ok(())
}

fn does_not_answer_pings(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = open(target, any_open(rng))?;
    line.write_all(&message(SUPPORTS_FEATURE, 2, &FEATURE_KEEPALIVE))?;
    line.set_timeout(Duration::from_secs(7))?;
    read_to_end(&mut line);
    Ok(())
}

fn comes_as_a_crowd(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let service = [Service::ReadWrite, Service::Tcp][rng.below(2)];
    let lines: io::Result<Vec<Line>> = (0..120)
        .map(|_| {
            let mut line = target.dial(service, Who::Hostile)?;
            line.write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
            Ok(line)
        })
        .collect();
    wait(300);
    lines.map(drop)
}

/// Three times, which is once too often.
fn fails_to_log_in(target: &Target, _: &mut Rng) -> io::Result<()> {
    let mut line = target.dial(Service::ReadOnly, Who::Hostile)?;
    loop {
        let challenge = challenge(&mut line, "n,,n=fred,r=abc")?;
        let wrong = proof("n,,n=fred,r=abc", b"pencils", &challenge);
        line.write_all(&message(SASL_STEP, 3, &data(&wrong)))?;
        read_message(&mut line)?;
    }
}

fn challenge(line: &mut Line, first: &str) -> io::Result<Vec<u8>> {
    line.write_all(&message(SASL_INIT, 1, &[]))?;
    read_message(line)?;
    line.write_all(&message(SASL_START, 2, &start_arguments(first)))?;
    let (_, reply) = read_message(line)?;
    Ok(reply
        .get(12..)
        .unwrap_or_default()
        .chunks_exact(4)
        .map(|word| word[3])
        .collect())
}

/// A user there is not, nonsense, too much of it, or nothing more.
fn logs_in_by_halves(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial(Service::ReadOnly, Who::Hostile)?;
    challenge(&mut line, "n,,n=nobody,r=abc")?;
    let answer = match rng.below(3) {
        0 => return Ok(()),
        1 => bytes(rng, 200),
        _ => vec![b'x'; 70_000],
    };
    line.write_all(&message(SASL_STEP, 3, &data(&answer)))?;
    line.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut line);
    Ok(())
}

fn sends_no_tls_to_its_port(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut line = target.dial_raw(Service::Tls, Who::Hostile)?;
    let sent = match rng.below(3) {
        0 => bytes(rng, 3000),
        1 => message(CONNECT_OPEN, 1, &open_arguments()),
        _ => [&[22, 3, 1, 0x3f, 0xff], &bytes(rng, 3000)[..]].concat(),
    };
    line.write_all(&sent)?;
    line.set_timeout(Duration::from_millis(500))?;
    read_to_end(&mut line);
    Ok(())
}

fn version(rng: &mut Rng) -> Version {
    [Version::Tls12, Version::Tls13][rng.below(2)]
}

fn says_half_a_hello(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let config = target.tls_client(version(rng), true);
    let mut client = ClientConnection::new(config, server_name()).expect("a client of TLS");
    let mut hello = Vec::new();
    client.write_tls(&mut hello)?;
    let mut stream = target.dial_tls(Who::Hostile)?;
    stream.write_all(&hello[..rng.below(hello.len())])?;
    stream.set_read_timeout(Some(Duration::from_millis(1 + rng.below(1000) as u64)))?;
    read_to_end(&mut stream);
    Ok(())
}

fn handshake(target: &Target, version: Version, with_certificate: bool) -> io::Result<Tls> {
    let config = target.tls_client(version, with_certificate);
    let stream = target.dial_tls(Who::Hostile)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut tls = Tls::over(stream, config);
    tls.read_exact(&mut [0])?;
    Ok(tls)
}

fn storms_the_handshake(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let version = version(rng);
    let all: io::Result<Vec<Tls>> = (0..8).map(|_| handshake(target, version, true)).collect();
    all.map(drop)
}

fn shows_no_certificate(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let let_in = handshake(target, version(rng), false);
    assert!(let_in.is_err(), "a client without a certificate was let in");
    Ok(())
}

fn under_tls(target: &Target, rng: &mut Rng) -> io::Result<TcpStream> {
    let mut tls = handshake(target, version(rng), true)?;
    tls.write_all(&message(CONNECT_OPEN, 1, &open_arguments()))?;
    tls.0.sock.try_clone()
}

fn breaks_a_record_of_tls(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = under_tls(target, rng)?;
    let broken = [&[23, 3, 3, 0, 40], &bytes(rng, 100)[..]].concat();
    stream.write_all(&broken)?;
    read_to_end(&mut stream);
    Ok(())
}

/// In the midst of a record.
fn drops_out_of_tls(target: &Target, rng: &mut Rng) -> io::Result<()> {
    let mut stream = under_tls(target, rng)?;
    stream.write_all(&[23, 3, 3, 0, 40, 1, 2, 3])
}
