//! Slots of the daemon: clients that wait for one, and clients in the handshake of TLS.

use eventryd::driver::MemoryDriver;
use eventryd::net::{RunDir, TransportKind};
use eventryd::server::{Config, Ready};
use rustls::ClientConnection;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use test_support::client::{RawClient, Stream, connect_from};
use test_support::in_process::{InProcess, address_of, loopback_tcp, loopback_tls};
use test_support::rpc::{AUTH_LIST, message};
use test_support::timeout::{TIMEOUT, wait_until};
use test_support::tls::{Tls, Version, client_config, committed_files, handshake, server_name};

fn start(change: impl FnOnce(&mut Config)) -> (InProcess, Ready, Config, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    change(&mut config);
    let process = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    let ready = process.ready();
    (process, ready, config, dir)
}

fn stop(process: InProcess, ready: &Ready) {
    ready.shutdown.request();
    process.wait().unwrap();
}

/// A client that is rejected while it waits is closed, and the one that took its place waits on.
#[test]
fn waiting_client_that_is_rejected_is_closed() {
    let (process, ready, config, _dir) = start(|config| {
        config.max_clients = NonZeroUsize::MIN;
        config.max_anonymous_clients = 0;
        config.max_queued_clients = 1;
        config.eviction_grace = Duration::MAX;
    });
    let connect = || RawClient::connect(&config.socket_path());
    let waiting = || ready.control.client_counts().waiting;
    let mut first = connect();
    first.open();
    let mut silent = connect();
    wait_until("a client waits", || waiting() == 1);
    let mut speaking = connect();
    // The silent one makes room.
    assert!(silent.is_closed());
    assert_eq!(waiting(), 1);
    let call = message(AUTH_LIST, 1, &[]);
    speaking.stream.write_all(&call).unwrap();
    assert!(speaking.is_kept_waiting());
    // All others speak: the last one is rejected.
    let mut last = connect();
    assert!(last.is_closed());
    drop(first);
    assert!(speaking.read_message().is_some());
    assert_eq!((ready.control.client_counts().served, waiting()), (1, 0));
    stop(process, &ready);
}

/// A client in the handshake of TLS is anonymous; after it, and on plain TCP, it is not.
#[test]
fn tls_handshake_takes_an_anonymous_slot() {
    let (process, ready, _config, _dir) = start(|config| {
        config.max_anonymous_clients = 1;
        config.eviction_grace = Duration::MAX;
        config.tcp = Some(loopback_tcp());
        config.tls = Some(loopback_tls(committed_files()));
    });
    let tls = address_of(&ready, TransportKind::Tls);
    let client = || {
        let config = client_config(&committed_files(), Version::Tls13, true);
        Tls::over(TcpStream::connect(tls).unwrap(), config)
    };
    // Neither client counts as anonymous once its handshake is complete.
    let mut complete = [handshake(client()), handshake(client())];
    let mut stalled = TcpStream::connect(tls).unwrap();
    stalled.write_all(&[22, 3, 1]).unwrap();
    wait_until("the handshake has a slot", || {
        ready.control.client_counts().served == 3
    });
    let mut waits = client();
    waits.set_timeout(Duration::from_millis(200)).unwrap();
    assert!(waits.read(&mut [0]).is_err(), "the handshake waits");
    assert_eq!(ready.control.client_counts().waiting, 1);
    RawClient::connect_tcp(address_of(&ready, TransportKind::Tcp)).open();
    for client in &mut complete {
        client.open();
    }
    drop(stalled);
    waits.set_timeout(TIMEOUT).unwrap();
    handshake(waits).open();
    stop(process, &ready);
}

/// A service pauses after a rejection, and no other one.
#[test]
fn service_that_rejected_a_client_accepts_again() {
    let (process, ready, config, _dir) = start(|config| {
        config.max_clients = NonZeroUsize::MIN;
        config.max_anonymous_clients = 0;
        config.max_queued_clients = 1;
        config.eviction_grace = Duration::MAX;
    });
    for path in [config.read_only_socket_path(), config.socket_path()] {
        let mut first = RawClient::connect(&config.socket_path());
        first.open();
        for _ in 0..3 {
            let mut silent = RawClient::connect(&path);
            let mut speaking = RawClient::connect(&path);
            let call = message(AUTH_LIST, 1, &[]);
            speaking.stream.write_all(&call).unwrap();
            assert!(silent.is_closed());
        }
        drop(first);
        RawClient::connect(&path).open();
        wait_until("the slot is free", || {
            ready.control.client_counts().served == 0
        });
    }
    stop(process, &ready);
}

/// The clients of a flood, each with one connection at a time.
const FLOOD: usize = 40;

/// Ends a flood, also if the test fails.
struct EndFlood<'a>(&'a AtomicBool);

impl Drop for EndFlood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends `request` on a new connection, waits for the first byte of the answer, and connects again, until told to end.
fn flood<S: Stream>(connect: impl Fn() -> S, request: &[u8], is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut stream = connect();
        stream.set_timeout(TIMEOUT).unwrap();
        stream.write_all(request).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
}

/// Clients of one address or user that connect again and again on one kind of socket do not keep out its clients on
/// another kind, nor those of other addresses: each is served in its turn.
#[test]
fn flood_on_one_socket_blocks_no_other_socket() {
    for kind in ["tls", "tcp", "unix"] {
        let (process, ready, config, _dir) = start(|config| {
            config.max_clients = NonZeroUsize::new(4).unwrap();
            config.max_anonymous_clients = 0;
            // No slot is free before its client goes.
            config.eviction_grace = Duration::MAX;
            config.tcp = Some(loopback_tcp());
            config.tls = Some(loopback_tls(committed_files()));
        });
        let tcp = address_of(&ready, TransportKind::Tcp);
        let tls = address_of(&ready, TransportKind::Tls);
        let path = config.socket_path();
        // The handshakes of the flood stay incomplete.
        let mut hello = Vec::new();
        let tls_config = client_config(&committed_files(), Version::Tls13, true);
        let mut connection = ClientConnection::new(tls_config, server_name()).unwrap();
        connection.write_tls(&mut hello).unwrap();
        let call = message(AUTH_LIST, 1, &[]);
        let holders = [(); 4].map(|()| {
            let mut client = RawClient::connect(&path);
            client.open();
            client
        });
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let end = EndFlood(&is_over);
            for _ in 0..FLOOD {
                scope.spawn(|| match kind {
                    "tls" => flood(|| connect_from(2, tls).unwrap(), &hello, &is_over),
                    "tcp" => flood(|| connect_from(2, tcp).unwrap(), &call, &is_over),
                    _ => flood(|| UnixStream::connect(&path).unwrap(), &call, &is_over),
                });
            }
            let waiting = || ready.control.client_counts().waiting;
            wait_until("the flood waits for slots", || waiting() == FLOOD);
            // These wait longer than any client of the flood that comes later.
            let mut plain = [2, 3].map(|last| connect_from(last, tcp).unwrap());
            let mut encrypted = [2, 3].map(|last| connect_from(last, tls).unwrap());
            let mut local = UnixStream::connect(&path).unwrap();
            for stream in &mut plain {
                stream.write_all(&call).unwrap();
            }
            for stream in &mut encrypted {
                stream.write_all(&hello).unwrap();
            }
            local.write_all(&call).unwrap();
            wait_until("all others wait too", || waiting() == FLOOD + 5);
            drop(holders);
            // Each gives up its slot when it is served.
            for mut stream in plain.into_iter().chain(encrypted) {
                stream.set_timeout(TIMEOUT).unwrap();
                stream.read_exact(&mut [0]).unwrap();
            }
            local.set_timeout(TIMEOUT).unwrap();
            local.read_exact(&mut [0]).unwrap();
            drop(end);
        });
        stop(process, &ready);
    }
}
