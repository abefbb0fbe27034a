//! Slots of the daemon: clients that wait for one, and clients in the handshake of TLS.

use eventryd::driver::MemoryDriver;
use eventryd::net::{ListenAddress, RunDir, TransportKind};
use eventryd::server::{Config, Ready, TcpService, TlsService};
use eventryd::session::Auth;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use test_support::client::{RawClient, Stream};
use test_support::in_process::InProcess;
use test_support::rpc::{AUTH_LIST, message};
use test_support::timeout::{TIMEOUT, wait_until};
use test_support::tls::{Tls, Version, client_config, committed_files, handshake};

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

fn address_of(ready: &Ready, transport: TransportKind) -> SocketAddr {
    let mut endpoints = ready.endpoints.iter();
    let found = endpoints.find(|endpoint| endpoint.transport == transport);
    match found.expect("an endpoint of this transport").address {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(_) => panic!("a network endpoint is expected"),
    }
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
        config.tcp = Some(TcpService {
            address: Some("127.0.0.1".to_owned()),
            port: "0".to_owned(),
            auth: Auth::None,
        });
        let mut tls = TlsService::new(committed_files());
        tls.address = Some("127.0.0.1".to_owned());
        tls.port = "0".to_owned();
        config.tls = Some(tls);
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
