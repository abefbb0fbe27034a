//! A TLS client that reads its answers late.

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use test_support::client::{RawClient, Stream, event_loop_sleeps};
use test_support::daemon::Daemon;
use test_support::rpc::{GET_HOSTNAME, message};
use test_support::timeout::wait_until;
use test_support::tls::{Chain, Tls, lines_naming};

/// The length of a call without arguments.
const CALL: usize = 28;

fn start() -> (Daemon, Chain, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::in_dir(dir.path());
    chain.join(&["root.pem"], "ca.pem");
    let files = lines_naming(&chain.files("server"));
    let file = chain.path("eventryd.conf");
    let text = format!("listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n{files}");
    std::fs::write(&file, text).unwrap();
    let daemon = Daemon::start_in(dir, &["--config", file.to_str().unwrap()]);
    let address = daemon.addresses("TLS")[0];
    (daemon, chain, address)
}

/// Sends calls without reading until the daemon takes no more; returns the number of bytes sent.
fn fill(client: &mut RawClient<Tls>, daemon: &Daemon) -> usize {
    let calls: Vec<u8> = (0..512)
        .flat_map(|serial| message(GET_HOSTNAME, serial, &[]))
        .collect();
    let mut sent = 0;
    client.stream.set_nonblocking(true).unwrap();
    wait_until("the daemon stops reading", || {
        loop {
            match client.stream.write(&calls[sent % calls.len()..]) {
                Ok(written) => sent += written,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    return event_loop_sleeps(daemon.pid());
                }
            }
        }
    });
    sent
}

/// Reads the answers to `calls` calls, after the bytes of the last call are sent.
fn read_answers(client: &mut RawClient<Tls>, sent: usize) {
    let rest = sent.next_multiple_of(CALL) - sent;
    let last = message(GET_HOSTNAME, (sent / CALL % 512) as u32, &[]);
    let mut unsent = &last[CALL - rest..];
    let (mut received, mut buffer) = (Vec::new(), vec![0; 4096]);
    let expected = sent.div_ceil(CALL);
    let mut length = None;
    wait_until("all answers", || {
        if let Ok(written) = client.stream.write(unsent) {
            unsent = &unsent[written..];
        }
        loop {
            match client.stream.read(&mut buffer) {
                Ok(0) => panic!("the end comes after {} bytes", received.len()),
                Ok(read) => received.extend(&buffer[..read]),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    break;
                }
            }
        }
        let length = length.get_or_insert_with(|| {
            let word = received.first_chunk().map(|word| u32::from_be_bytes(*word));
            word.unwrap_or(u32::MAX) as usize
        });
        unsent.is_empty() && received.len() >= expected * *length
    });
    client.stream.set_nonblocking(false).unwrap();
    let length = length.unwrap();
    assert_eq!(received.len(), expected * length);
    for (number, answer) in received.chunks(length).enumerate() {
        let word = |at: usize| u32::from_be_bytes(*answer[4 * at..].first_chunk().unwrap());
        assert_eq!(word(5), (number % 512) as u32, "answer {number}");
        assert_eq!(word(6), 0);
        assert_eq!(answer[CALL..], received[CALL..length], "answer {number}");
    }
}

#[test]
fn late_reader_over_tls_gets_every_answer() {
    let (daemon, chain, address) = start();
    let mut client = chain.connect("direct", address).unwrap();
    client.open();
    // Smaller buffers than the largest keep the test short.
    let socket = &client.stream.0.sock;
    set_socket_recv_buffer_size(socket, 128 << 10).unwrap();
    set_socket_send_buffer_size(socket, 128 << 10).unwrap();
    for _ in 0..2 {
        let sent = fill(&mut client, &daemon);
        assert!(sent > 100 * CALL);
        read_answers(&mut client, sent);
    }
    client.call(GET_HOSTNAME, &[]);
}

/// The answers that were not read before the stop come before the end of the stream.
#[test]
fn late_reader_gets_its_answers_while_the_daemon_stops() {
    let (daemon, chain, address) = start();
    let mut client = chain.connect("direct", address).unwrap();
    client.open();
    let mut calls = Vec::new();
    for serial in 0..100 {
        calls.extend(message(GET_HOSTNAME, serial, &[]));
    }
    client.stream.write_all(&calls).unwrap();
    client.stream.0.conn.send_close_notify();
    client.stream.flush().unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    wait_until("the daemon has read the calls", || {
        event_loop_sleeps(daemon.pid())
    });
    daemon.signal(Signal::TERM);
    for serial in 0..100 {
        let (header, _) = client.read_message().expect("an answer");
        assert_eq!((header[4], header[5]), (serial, 0));
    }
    // Without close_notify this is an error.
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(daemon.wait().status, Some(0));
}
