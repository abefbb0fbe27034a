//! A TLS client that reads its answers late.

use eventry::{Events, MonotonicTime};
use eventryd::connection::{Action, ClientAuth, Connection, SocketTransport};
use eventryd::net::Socket;
use eventryd::net::tls::{TlsContext, TlsSettings, wall_clock};
use eventryd::session::SessionConfig;
use eventryd::wire::{HostnameRet, Reply};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use test_support::client::{RawClient, Stream, event_loop_sleeps};
use test_support::daemon::Daemon;
use test_support::rpc::{GET_HOSTNAME, message};
use test_support::timeout::wait_until;
use test_support::tls::{Chain, Tls, Version, client_config, committed_files, lines_naming};

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

/// TLS takes a whole answer of 60 KB before the socket takes a part of it. The rest is sent when the socket is writable,
/// although the session has nothing left.
#[test]
fn rest_in_the_tls_buffer_is_sent_when_writable() {
    const LENGTH: usize = 60_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    set_socket_recv_buffer_size(&stream, 4 << 10).unwrap();
    let (socket, _) = listener.accept().unwrap();
    set_socket_send_buffer_size(&socket, 4 << 10).unwrap();
    socket.set_nonblocking(true).unwrap();
    let context = TlsContext::load(&TlsSettings::new(committed_files()), wall_clock).unwrap();
    let tls = Arc::new(context).accept().unwrap();
    let transport = SocketTransport::new(Arc::new(Socket::Tcp(socket)), Some(tls));
    let config = SessionConfig {
        awaits_handshake: true,
        ..SessionConfig::default()
    };
    let mut connection = Connection::new(transport, config, ClientAuth::default(), true);
    let mut client = Tls::over(
        stream,
        client_config(&committed_files(), Version::Tls13, true),
    );
    client.set_nonblocking(true).unwrap();

    // As the server: the connection is called when its socket is ready and it is interested in that.
    let mut turn = |ready| {
        let now = MonotonicTime::ZERO;
        let ready = connection.watch().interest & ready;
        if ready.is_empty() {
            return;
        }
        connection.on_ready(ready, now);
        while let Some(action) = connection.next_action(now) {
            if let Action::Dispatch(request) = action {
                let hostname = "x".repeat(LENGTH).as_str().into();
                let reply = Reply::ConnectGetHostname(HostnameRet { hostname });
                connection.complete(request.ticket, Ok(reply), now);
            }
        }
    };
    let mut welcome = [0];
    wait_until("the end of the handshake", || {
        turn(Events::READABLE | Events::WRITABLE);
        client.read(&mut welcome).is_ok()
    });
    assert_eq!(welcome, [1]);
    client.write_all(&message(GET_HOSTNAME, 1, &[])).unwrap();
    client.flush().unwrap();
    wait_until("an answer", || {
        turn(Events::READABLE);
        client.read(&mut welcome).is_ok()
    });
    let (mut received, mut buffer) = (1, vec![0; 4096]);
    wait_until("the whole answer", || {
        turn(Events::WRITABLE);
        received += client.read(&mut buffer).unwrap_or(0);
        received > LENGTH
    });
}
