//! The daemon on TCP, and listening sockets without a free descriptor.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock limits only the time that a broken test hangs"
)]

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};
use test_support::client::RawClient;
use test_support::daemon::{Daemon, refused_with};
use test_support::rpc::{CONNECT_OPEN, GET_HOSTNAME, message, open_arguments};
use test_support::timeout::wait_until;

fn start_with_tcp() -> Daemon {
    Daemon::start_in(
        tempfile::tempdir().unwrap(),
        &["--listen-tcp", "127.0.0.1:0"],
    )
}

#[test]
fn a_port_that_was_chosen_is_announced_and_serves() {
    let daemon = start_with_tcp();
    let [address] = daemon.addresses("TCP")[..] else {
        panic!("{:?}", daemon.announced());
    };
    assert_ne!(address.port(), 0);
    let mut client = RawClient::connect_tcp(address);
    client.open();
    client.call(GET_HOSTNAME, &[]);
    daemon.connect().open();
    let ended = daemon.stop();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
    assert!(client.is_closed());
}

#[test]
fn a_half_closed_client_over_tcp_still_gets_its_answers() {
    let daemon = start_with_tcp();
    for _ in 0..50 {
        let mut client = RawClient::connect_tcp(daemon.addresses("TCP")[0]);
        let mut bytes = message(CONNECT_OPEN, 1, &open_arguments());
        // More calls than one turn handles: the end of the input arrives before the last of them is handled.
        for serial in 2..=20 {
            bytes.extend(message(GET_HOSTNAME, serial, &[]));
        }
        client.stream.write_all(&bytes).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        for serial in 1..=20 {
            let (header, _) = client.read_message().expect("a reply");
            assert_eq!(header[4], serial);
        }
        assert!(client.is_closed());
    }
}

#[test]
fn taken_port_is_reported_and_leaves_nothing() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let refused = refused_with(dir.path(), &["--listen-tcp", &address]);
    let stderr = refused.stderr;
    assert_eq!(refused.status, Some(6), "{stderr}");
    assert!(
        stderr.contains(&format!("cannot listen on {address}")),
        "{stderr}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A client without a free descriptor waits, on any socket, and is served when one is freed (DM-505).
#[test]
fn client_without_a_free_descriptor_is_served_later() {
    let daemon = start_with_tcp();
    let mut clients = [daemon.connect(), daemon.connect()];
    for client in &mut clients {
        client.open();
    }
    let [mut stays, leaves] = clients;
    let used = daemon.descriptors() as u64;
    let limit = Rlimit {
        current: Some(used),
        maximum: Some(used),
    };
    let pid = Pid::from_raw(daemon.pid() as i32);
    prlimit(pid, Resource::Nofile, limit).unwrap();

    let mut waiting = RawClient::connect_tcp(daemon.addresses("TCP")[0]);
    assert!(waiting.is_kept_waiting());
    stays.call(GET_HOSTNAME, &[]);
    let call = message(CONNECT_OPEN, 1, &open_arguments());
    waiting.stream.write_all(&call).unwrap();
    drop(leaves);
    assert!(waiting.read_message().is_some());

    // The next free descriptor serves a client of any socket.
    let mut next = daemon.connect();
    assert!(next.is_kept_waiting());
    drop(waiting);
    next.open();
    let log = daemon.stop().log;
    assert!(
        log.contains("cannot accept on 127.0.0.1:"),
        "the reason is not logged: {log}"
    );
}

/// After some failures the pause is 5 s. A client that disconnects ends it at once (DM-505).
#[test]
fn suspended_service_resumes_when_a_client_disconnects() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let file = dir.path().join("eventryd.conf");
    let outputs = format!("log_outputs = \"3:file:{}\"\n", log.display());
    std::fs::write(&file, outputs).unwrap();
    let file = file.display().to_string();
    let options = ["--config", &file, "--listen-tcp", "127.0.0.1:0"];
    let daemon = Daemon::start_in(dir, &options);
    let pid = daemon.pid();
    let numbers = || {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let numbers = open.map(|entry| entry.unwrap().file_name());
        let numbers = numbers.map(|name| name.to_str().unwrap().parse::<u64>().unwrap());
        numbers.collect::<Vec<_>>()
    };
    // A descriptor gets the lowest free number: the clients fill the gaps.
    let mut clients = Vec::new();
    let used = loop {
        let mut client = daemon.connect();
        client.open();
        clients.push(client);
        let numbers = numbers();
        let used = numbers.iter().max().unwrap() + 1;
        if numbers.len() as u64 == used {
            break used;
        }
    };
    let limit = Rlimit {
        current: Some(used),
        maximum: Some(used),
    };
    prlimit(Pid::from_raw(pid as i32), Resource::Nofile, limit).unwrap();
    let mut waiting = RawClient::connect_tcp(daemon.addresses("TCP")[0]);
    wait_until("the pause is long", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("trying again in 5s")
    });
    let begun = Instant::now();
    drop(clients.pop());
    waiting.open();
    assert!(begun.elapsed() < Duration::from_secs(4));
    // One attempt for each pause from 100 ms to 5 s, and one behind the client that is served.
    let log = std::fs::read_to_string(&log).unwrap();
    let attempts = log.matches("cannot accept on 127.0.0.1:").count();
    assert!((7..=9).contains(&attempts), "{log}");
    daemon.stop();
}

#[test]
fn a_flood_of_connections_over_tcp_leaves_nothing_behind() {
    let daemon = start_with_tcp();
    daemon.connect().open();
    let before = daemon.idle_descriptors();
    for _ in 0..300 {
        let client = RawClient::connect_tcp(daemon.addresses("TCP")[0]);
        drop(client);
    }
    wait_until("all clients are closed", || {
        daemon.idle_descriptors() == before
    });
}
