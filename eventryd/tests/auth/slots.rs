//! No user or address can block other clients, or its own.

use crate::TestDaemon;
use crate::sasl::sasl_daemon;
use eventryd::net::TransportKind;
use rustls::{ClientConnection, StreamOwned};
use std::fs::{Permissions, set_permissions};
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;
use test_support::client::{RawClient, Stream, connect_from};
use test_support::in_process::{address_of, loopback_tcp, loopback_tls};
use test_support::rpc::{AUTH_LIST, GET_HOSTNAME, message};
use test_support::sasl::log_in;
use test_support::timeout::wait_until;
use test_support::tls::{Version, client_config, committed_files, server_name};

/// A short grace, to keep the tests short.
const GRACE: Duration = Duration::from_millis(50);

/// Connects as the user `uid` from a thread with that user id; as the user of the test if that is not root.
fn connect_as(uid: u32, path: &Path) -> RawClient {
    let path = path.to_owned();
    let connecting = thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid)).unwrap();
        }
        UnixStream::connect(path).unwrap()
    });
    RawClient::over(connecting.join().unwrap())
}

/// Lets other users connect to the sockets.
fn allow_other_users(daemon: &TestDaemon) {
    set_permissions(daemon.dir.path(), Permissions::from_mode(0o755)).unwrap();
}

/// The default limit of 20, and 40 silent clients of the same user. In libvirtd no other client is served any more.
#[test]
fn forty_silent_clients_do_not_block_any_user() {
    let daemon = sasl_daemon(|config| {
        config.rw_mode = 0o777;
        config.eviction_grace = GRACE;
    });
    allow_other_users(&daemon);
    let path = daemon.config.socket_path();
    let silent: Vec<_> = (0..40).map(|_| connect_as(1001, &path)).collect();
    for uid in [1001, 1002, 0] {
        let mut client = connect_as(uid, &path);
        log_in(&mut client, "pencil");
        client.open();
    }
    drop(silent);
    daemon.stop();
}

/// Many clients of one user that make calls without end may delay this user, but no other one.
#[test]
fn busy_flood_of_one_user_does_not_block_other_users() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let daemon = sasl_daemon(|config| {
        config.rw_mode = 0o777;
        config.eviction_grace = GRACE;
        config.max_anonymous_clients = 4;
    });
    allow_other_users(&daemon);
    let path = daemon.config.socket_path();
    let mut flood: Vec<_> = (0..100).map(|_| connect_as(1001, &path)).collect();
    for uid in 2000..2010 {
        for client in &mut flood {
            // Some of these clients are evicted.
            let _ = client.stream.write_all(&message(AUTH_LIST, 1, &[]));
        }
        let mut other = connect_as(uid, &path);
        log_in(&mut other, "pencil");
        other.open();
    }
    daemon.stop();
}

#[test]
fn stalled_tls_handshakes_do_not_block_other_addresses() {
    let daemon = sasl_daemon(|config| {
        config.tls = Some(loopback_tls(committed_files()));
        config.eviction_grace = GRACE;
        config.max_anonymous_clients = 4;
    });
    let address = address_of(&daemon.ready, TransportKind::Tls);
    let config = client_config(&committed_files(), Version::Tls13, true);
    let connection = || ClientConnection::new(config.clone(), server_name()).unwrap();
    let flood: Vec<_> = (0..50)
        .map(|count| {
            let mut stream = connect_from(2, address).unwrap();
            if count % 2 == 0 {
                connection().write_tls(&mut stream).unwrap();
            }
            stream
        })
        .collect();
    // Two other addresses, then the same one.
    for last in [3, 4, 2] {
        let stream = connect_from(last, address).unwrap();
        stream.set_timeout(test_support::timeout::TIMEOUT).unwrap();
        let mut client = StreamOwned::new(connection(), stream);
        let mut welcome = [0];
        client.read_exact(&mut welcome).unwrap();
        assert_eq!(welcome, [1]);
    }
    drop(flood);
    daemon.stop();
}

/// One address takes all slots that are not reserved, with active clients that need no authentication. None of them is
/// evicted, and other peers are admitted within `max_clients`.
#[test]
fn address_holding_all_slots_leaves_room_for_others() {
    let daemon = sasl_daemon(|config| {
        config.tcp = Some(loopback_tcp());
        config.eviction_grace = GRACE;
        config.max_clients = NonZeroUsize::new(64).unwrap();
    });
    let address = address_of(&daemon.ready, TransportKind::Tcp);
    let mut holders: Vec<_> = (0..60)
        .map(|_| {
            let mut client = RawClient::over(connect_from(2, address).unwrap());
            client.open();
            client
        })
        .collect();
    let mut one_more = RawClient::over(connect_from(2, address).unwrap());
    assert!(one_more.is_kept_waiting());

    let mut other = RawClient::over(connect_from(3, address).unwrap());
    other.open();
    let mut local = daemon.connect();
    log_in(&mut local, "pencil");
    local.open();
    for client in &mut holders {
        client.call(GET_HOSTNAME, &[]);
    }
    assert!(one_more.is_kept_waiting());
    assert_eq!(daemon.ready.control.client_counts().served, 62);
    // The waiting client gets the free slot.
    drop((holders, other, local));
    one_more.open();
    daemon.stop();
}

/// More silent clients than `max_clients` do not block other clients.
#[test]
fn silent_clients_holding_all_slots_are_evicted() {
    let daemon = sasl_daemon(|config| {
        config.tcp = Some(loopback_tcp());
        config.eviction_grace = GRACE;
        config.max_clients = NonZeroUsize::new(32).unwrap();
    });
    let address = address_of(&daemon.ready, TransportKind::Tcp);
    let silent: Vec<_> = (0..100)
        .map(|_| connect_from(2, address).unwrap())
        .collect();
    for last in [3, 2] {
        RawClient::over(connect_from(last, address).unwrap()).open();
    }
    for _ in 0..3 {
        let mut local = daemon.connect();
        log_in(&mut local, "pencil");
        local.open();
    }
    drop(silent);
    daemon.stop();
}

/// Clients that wait for a slot are closed with the daemon, and do not delay its stop.
#[test]
fn waiting_client_is_closed_when_the_daemon_stops() {
    let daemon = sasl_daemon(|config| {
        config.max_anonymous_clients = 1;
        config.eviction_grace = Duration::MAX;
        // The stop would wait without a limit.
        config.shutdown_grace = Duration::MAX;
    });
    let mut first = daemon.connect();
    first.call(AUTH_LIST, &[]);
    let mut waiting: Vec<_> = (0..5).map(|_| daemon.connect()).collect();
    assert!(waiting.iter_mut().all(RawClient::is_kept_waiting));
    daemon.stop();
    assert!(waiting.iter_mut().all(RawClient::is_closed));
}

#[test]
fn login_of_a_client_admits_a_waiting_one() {
    let daemon = sasl_daemon(|config| {
        config.max_anonymous_clients = 1;
        config.eviction_grace = Duration::MAX;
    });
    let mut first = daemon.connect();
    first.call(AUTH_LIST, &[]);
    let mut waiting = daemon.connect();
    let call = message(AUTH_LIST, 1, &[]);
    waiting.stream.write_all(&call).unwrap();
    assert!(waiting.is_kept_waiting());
    log_in(&mut first, "pencil");
    assert!(waiting.read_message().is_some());
    log_in(&mut waiting, "pencil");
    waiting.open();
    first.open();
    daemon.stop();
}

/// The slot of an evicted client is counted out once.
#[test]
fn evicted_client_is_counted_out_once() {
    let daemon = sasl_daemon(|config| {
        config.max_anonymous_clients = 1;
        config.eviction_grace = GRACE;
    });
    let served = || daemon.ready.control.client_counts().served;
    let mut clients = Vec::new();
    for count in 1..=4 {
        let mut silent = daemon.connect();
        let mut client = daemon.connect();
        log_in(&mut client, "pencil");
        assert!(silent.is_closed());
        client.open();
        clients.push(client);
        assert_eq!(served(), count);
    }
    drop(clients);
    wait_until("all slots are free", || served() == 0);
    daemon.stop();
}
