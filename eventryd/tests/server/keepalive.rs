//! Keepalive on a socket (DM-901 to DM-906).

use eventryd::driver::MemoryDriver;
use eventryd::net::RunDir;
use eventryd::server::Config;
use eventryd::session::Keepalive;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::{FEATURE_KEEPALIVE, GET_HOSTNAME, PING, SUPPORTS_FEATURE, pong};

/// A daemon on threads of this process, and its socket.
struct TestDaemon {
    daemon: InProcess,
    socket: PathBuf,
    _dir: TempDir,
}

fn start(interval: Option<Duration>, count: u32) -> TestDaemon {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    config.keepalive = Keepalive { interval, count };
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    TestDaemon {
        daemon,
        socket: config.socket_path(),
        _dir: dir,
    }
}

const INTERVAL: Option<Duration> = Some(Duration::from_millis(20));

fn assert_ping(message: Option<([u32; 6], Vec<u8>)>) {
    let (header, payload) = message.expect("a ping");
    assert_eq!(header, PING);
    assert_eq!(payload, []);
}

#[test]
fn a_silent_client_gets_its_pings_and_then_the_end() {
    let test = start(INTERVAL, 2);
    let state = test.daemon.ready();
    let mut client = RawClient::connect(&test.socket);
    assert_eq!(
        client.call(SUPPORTS_FEATURE, &FEATURE_KEEPALIVE),
        [0, 0, 0, 1]
    );
    for _ in 0..2 {
        assert_ping(client.read_message());
    }
    assert!(client.is_closed());
    state.shutdown.request();
    test.daemon.wait().unwrap();
}

#[test]
fn a_client_that_answers_its_pings_is_served_on() {
    // 100 intervals, so that a busy machine has two seconds for the first pong.
    let test = start(INTERVAL, 100);
    test.daemon.ready();
    let mut client = RawClient::connect(&test.socket);
    client.open();
    client.call(SUPPORTS_FEATURE, &FEATURE_KEEPALIVE);
    for _ in 0..150 {
        assert_ping(client.read_message());
        client.stream.write_all(&pong()).unwrap();
    }
    client.call(GET_HOSTNAME, &[]);
}

#[test]
fn client_without_keepalive_gets_no_pings() {
    let test = start(INTERVAL, 2);
    test.daemon.ready();
    let mut client = RawClient::connect(&test.socket);
    client.open();
    assert!(client.is_kept_waiting());
    client.call(GET_HOSTNAME, &[]);
}

#[test]
fn without_an_interval_keepalive_is_offered_but_no_ping_sent() {
    for interval in [None, Some(Duration::ZERO)] {
        let test = start(interval, 2);
        test.daemon.ready();
        let mut client = RawClient::connect(&test.socket);
        let yes = client.call(SUPPORTS_FEATURE, &FEATURE_KEEPALIVE);
        assert_eq!(yes, [0, 0, 0, 1]);
        assert!(client.is_kept_waiting());
    }
}
