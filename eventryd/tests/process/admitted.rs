//! The daemon as a process: the clients that it admits, evicts and waits for.

use crate::configured::{Configured, SASL};
use std::io::Write;
use test_support::client::RawClient;
use test_support::rpc::{AUTH_LIST, GET_HOSTNAME, message};

/// Sends a call; returns `true` if it is answered soon.
fn is_served(client: &mut RawClient) -> bool {
    let call = message(AUTH_LIST, 1, &[]);
    client.stream.write_all(&call).unwrap();
    !client.is_kept_waiting()
}

#[test]
fn idle_timeout_spares_a_client_that_stays() {
    let configured = Configured::start("eventry_idle_timeout = 3");
    let mut client = configured.connect();
    client.open();
    for _ in 0..17 {
        assert!(client.is_kept_waiting());
    }
    client.call(GET_HOSTNAME, &[]);
    configured.stop();
}

#[test]
fn idle_timeout_of_a_reload_spares_a_client_that_stays() {
    let configured = Configured::start("");
    let mut client = configured.connect();
    client.open();
    configured.reload("eventry_idle_timeout = 1");
    for _ in 0..7 {
        assert!(client.is_kept_waiting());
    }
    client.call(GET_HOSTNAME, &[]);
    drop(client);
    let ended = configured.daemon.unwrap().wait();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
}

/// The log names the limit and the identity of the client that is evicted, and the step that it has not taken.
#[test]
fn eviction_is_logged_with_limit_reason_and_identity() {
    let anonymous = format!("{SASL}max_anonymous_clients = 1\n");
    for (settings, reason) in [
        (
            &*anonymous,
            "max_anonymous_clients (1) reached and the client is not authenticated",
        ),
        (
            "max_clients = 1\n",
            "max_clients (1) reached and the client has made no call",
        ),
    ] {
        let configured = Configured::start(settings);
        let mut silent = configured.connect();
        let mut speaking = configured.connect();
        speaking.call(AUTH_LIST, &[]);
        assert!(silent.is_closed());
        let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
        configured.wait_for(&format!("client 1 evicted: {reason}; uid={uid}"), 1);
        let log = configured.log();
        let line = log.lines().find(|line| line.contains("evicted"));
        assert!(line.unwrap().contains(&format!("pid={pid}")), "{log}");
        configured.stop();
    }
}

/// The log names the limit for which a client waits, once, also if slots are left that are reserved for others.
#[test]
fn waiting_client_is_logged_with_its_limit() {
    let anonymous = format!("{SASL}max_anonymous_clients = 1\n");
    let reserved = "max_clients (8) reached but for the slots that are reserved for users and addresses with few clients \
                    (1); raise max_clients if one user or address needs more";
    for (settings, held, limit) in [
        ("max_clients = 8\n", 7, reserved),
        ("max_clients = 1\n", 1, "max_clients (1) reached"),
        (&*anonymous, 1, "max_anonymous_clients (1) reached"),
    ] {
        let configured = Configured::start(settings);
        let mut held: Vec<_> = (0..held).map(|_| configured.connect()).collect();
        for client in &mut held {
            client.call(AUTH_LIST, &[]);
        }
        let mut waiting = configured.connect();
        // A silent client is not logged.
        assert!(waiting.is_kept_waiting());
        assert!(!configured.log().contains("waits for a slot"));
        let call = message(AUTH_LIST, 1, &[]);
        waiting.stream.write_all(&call).unwrap();
        let id = held.len() + 1;
        let uid = rustix::process::geteuid().as_raw();
        configured.wait_for(
            &format!("client {id} waits for a slot: {limit}; uid={uid}"),
            1,
        );
        configured.wait_for("waits for a slot", 1);
        configured.stop();
    }
}

/// One client may wait. The next one of its peer takes its place; that of another peer is rejected itself.
#[test]
fn rejection_is_logged_with_the_identity_of_the_client() {
    let configured = Configured::start(
        "listen_tcp = 1\nauth_tcp = \"none\"\ntcp_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n\
         max_clients = 1\nmax_queued_clients = 1\nlog_level = 1\n",
    );
    let mut served = configured.connect();
    served.call(AUTH_LIST, &[]);
    let waiting = configured.connect();
    configured.wait_for("client 2 connected: ", 1);
    let next = configured.connect();
    let rejected = "clients wait already (max_queued_clients), most of them of its peer";
    let uid = rustix::process::geteuid().as_raw();
    let expected = format!("client 2 rejected: 1 {rejected}; uid={uid}");
    configured.wait_for(&expected, 1);
    let of_network = RawClient::connect_tcp(configured.daemon().addresses("TCP")[0]);
    let expected = format!("client 4 rejected: 1 {rejected}; address=127.0.0.1:");
    configured.wait_for(&expected, 1);
    drop((waiting, next, of_network));
    configured.stop();
}

/// Of eight slots one is reserved for networks and one for local clients, also after a reload.
#[test]
fn slot_for_networks_stays_reserved_after_a_reload() {
    let settings = |level| {
        format!(
            "listen_tcp = 1\nauth_tcp = \"none\"\ntcp_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n\
             max_clients = 8\nmax_anonymous_clients = 0\nlog_level = {level}\n"
        )
    };
    let configured = Configured::start(&settings(3));
    let tcp = configured.daemon().addresses("TCP")[0];
    for level in [3, 2] {
        configured.reload(&settings(level));
        let mut local: Vec<RawClient> = (0..6).map(|_| configured.connect()).collect();
        assert!(local.iter_mut().all(is_served));
        let mut late = configured.connect();
        assert!(!is_served(&mut late));
        RawClient::connect_tcp(tcp).open();
        drop(local);
        assert!(late.read_message().is_some());
    }
    configured.stop();
}

/// More waiting clients than one step of the daemon admits.
#[test]
fn hundred_waiting_clients_are_admitted_by_a_reload() {
    let settings = |limit| format!("max_clients = {limit}\nmax_anonymous_clients = 0\n");
    let configured = Configured::start(&settings(1));
    let mut first = configured.connect();
    first.open();
    let mut waiting: Vec<RawClient> = (0..100).map(|_| configured.connect()).collect();
    for client in &mut waiting {
        let call = message(AUTH_LIST, 1, &[]);
        client.stream.write_all(&call).unwrap();
    }
    assert!(waiting[99].is_kept_waiting());
    configured.reload(&settings(200));
    for client in &mut waiting {
        assert!(client.read_message().is_some());
    }
    configured.stop();
}
