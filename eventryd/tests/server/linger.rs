//! Connections over TCP and TLS that close with unread input: the kernel would drop replies that it has taken.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock limits only the time that a broken test hangs"
)]

use super::blocking::BlockingDriver;
use eventryd::net::{RunDir, TransportKind};
use eventryd::server::{Config, Ready};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::client::{RawClient, Stream};
use test_support::in_process::{InProcess, address_of, loopback_tcp, loopback_tls};
use test_support::rpc::{GET_HOSTNAME, message, read_message};
use test_support::timeout::wait_until;
use test_support::tls::{Tls, Version, client_config, committed_files};

const GET_TYPE: i32 = 3;
const UNKNOWN_PROCEDURE: i32 = 9_999;
const CALLS: u32 = 1_000;

/// Starts a daemon on TCP and TLS whose `hostname` calls block.
fn start(requests: usize) -> (InProcess, Ready, super::blocking::Blocked, TempDir) {
    start_with(|config| {
        config.client_limits.max_client_requests = NonZeroUsize::new(requests).unwrap();
    })
}

fn start_with(
    change: impl FnOnce(&mut Config),
) -> (InProcess, Ready, super::blocking::Blocked, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    change(&mut config);
    config.tcp = Some(loopback_tcp());
    config.tls = Some(loopback_tls(committed_files()));
    let (mut driver, blocked) = BlockingDriver::new();
    // Without workers, all calls of one turn are answered in it.
    driver.may_block = config.client_limits.max_client_requests.get() == 1;
    let process = InProcess::start(&config, || Arc::new(driver));
    let ready = process.ready();
    (process, ready, blocked, dir)
}

/// Connects with a small receive buffer, so that most replies stay in the kernel of the daemon until they are read.
fn connect_small(address: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    connect(&socket, &address).unwrap();
    socket.into()
}

/// Connects over each transport.
fn clients(ready: &Ready) -> [RawClient<Box<dyn Stream>>; 2] {
    let tcp = connect_small(address_of(ready, TransportKind::Tcp));
    let tls = connect_small(address_of(ready, TransportKind::Tls));
    let config = client_config(&committed_files(), Version::Tls13, true);
    let mut tls = Tls::over(tls, config);
    // The server confirms the certificate with a byte.
    tls.read_exact(&mut [0]).unwrap();
    let streams: [Box<dyn Stream>; 2] = [Box::new(tcp), Box::new(tls)];
    streams.map(RawClient::over)
}

/// Reads to the end, which must be in order, and returns the serial and the status of each reply.
fn replies(client: &mut RawClient<Box<dyn Stream>>) -> Vec<(u32, u32)> {
    let mut bytes = Vec::new();
    let end = client.stream.read_to_end(&mut bytes);
    assert!(end.is_ok(), "{end:?} after {} bytes", bytes.len());
    let mut rest = &bytes[..];
    let mut replies = Vec::new();
    while !rest.is_empty() {
        let (header, _) = read_message(&mut rest).unwrap();
        replies.push((header[4], header[5]));
    }
    replies
}

fn calls(serials: std::ops::Range<u32>) -> Vec<u8> {
    serials
        .flat_map(|serial| message(GET_TYPE, serial, &[]))
        .collect()
}

/// Makes two calls, one after the other, so that the daemon has handled all earlier input.
fn wait_for_turns(ready: &Ready) {
    let mut other = RawClient::connect_tcp(address_of(ready, TransportKind::Tcp));
    other.open();
    other.call(GET_TYPE, &[]);
}

/// DM-1303: a stop with thousands of calls unread loses none of the replies to the calls that were read.
#[test]
fn stop_behind_unread_calls_loses_no_reply() {
    for index in 0..2 {
        let (process, ready, blocked, _dir) = start(1);
        let mut client = clients(&ready).into_iter().nth(index).unwrap();
        client.open();
        let mut sent = calls(10..10 + CALLS);
        sent.extend(message(GET_HOSTNAME, 10 + CALLS, &[]));
        sent.extend(calls(11 + CALLS..11 + 5 * CALLS));
        client.stream.write_all(&sent).unwrap();
        let call = blocked.recv().unwrap();
        ready.shutdown.request();
        drop(call);
        // The daemon closes the connection before the client reads.
        process.wait().unwrap();
        let replies = replies(&mut client);
        let answered = u32::try_from(replies.len()).unwrap();
        assert!(answered > CALLS, "only {answered} replies");
        assert!(answered < 5 * CALLS, "all calls were read: {answered}");
        let expected: Vec<_> = (10..10 + answered).map(|serial| (serial, 0)).collect();
        assert_eq!(replies, expected);
    }
}

/// DM-801: garbage ends the session, and the earlier replies still arrive.
#[test]
fn garbage_behind_calls_loses_no_earlier_reply() {
    let (process, ready, _blocked, _dir) = start(5_000);
    for mut client in clients(&ready) {
        client.open();
        let mut sent = calls(10..10 + CALLS);
        sent.extend(message(UNKNOWN_PROCEDURE, 10 + CALLS, &[]));
        sent.extend([0xff; 300_000]);
        client.stream.write_all(&sent).unwrap();
        wait_for_turns(&ready);
        let mut expected: Vec<_> = (10..10 + CALLS).map(|serial| (serial, 0)).collect();
        expected.push((10 + CALLS, 1));
        assert_eq!(replies(&mut client), expected);
    }
    ready.shutdown.request();
    process.wait().unwrap();
}

/// A peer that does not close its side delays the stop for a second. The grace has no limit here.
#[test]
fn silent_peer_holds_up_a_stop_for_a_bounded_time() {
    let (process, ready, _blocked, _dir) =
        start_with(|config| config.shutdown_grace = Duration::MAX);
    let mut clients = clients(&ready);
    for client in &mut clients {
        client.open();
    }
    ready.shutdown.request();
    for client in &mut clients {
        assert_eq!(replies(client), []);
    }
    process.wait().unwrap();
    drop(clients);
}

/// A lingering client holds its slot, and gives it to a client that waits.
#[test]
fn lingering_client_gives_its_slot_to_a_waiting_one() {
    let (process, ready, _blocked, _dir) = start_with(|config| {
        config.max_clients = NonZeroUsize::MIN;
        config.max_anonymous_clients = 0;
    });
    let address = address_of(&ready, TransportKind::Tcp);
    let begun = Instant::now();
    let mut ended = Vec::new();
    for _ in 0..12 {
        let mut client = RawClient::connect_tcp(address);
        client.open();
        client.stream.write_all(&[0xff; 64]).unwrap();
        assert!(client.is_closed());
        ended.push(client);
    }
    let mut last = RawClient::connect_tcp(address);
    last.open();
    // Each would linger for a second.
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(ready.control.client_counts().most_served, 1);
    drop(last);
    wait_until("all slots are free", || {
        ready.control.client_counts().served == 0
    });
    drop(ended);
    ready.shutdown.request();
    process.wait().unwrap();
}

/// A client that lingered until its peer closed leaves one free slot, not two.
#[test]
fn lingering_client_that_goes_leaves_one_slot() {
    let (process, ready, _blocked, _dir) = start_with(|config| {
        config.max_clients = NonZeroUsize::new(2).unwrap();
        config.max_anonymous_clients = 0;
    });
    let address = address_of(&ready, TransportKind::Tcp);
    let served = || ready.control.client_counts().served;
    let mut ended = RawClient::connect_tcp(address);
    ended.open();
    ended.stream.write_all(&[0xff; 64]).unwrap();
    assert!(ended.is_closed());
    drop(ended);
    wait_until("the lingering client has gone", || served() == 0);
    let mut clients = [(); 2].map(|()| RawClient::connect_tcp(address));
    clients.iter_mut().for_each(RawClient::open);
    let mut late = RawClient::connect_tcp(address);
    late.stream.write_all(&message(GET_TYPE, 1, &[])).unwrap();
    assert!(late.is_kept_waiting());
    assert_eq!(served(), 2);
    ready.shutdown.request();
    process.wait().unwrap();
}
