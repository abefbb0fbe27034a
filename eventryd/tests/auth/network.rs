//! Anonymous clients on a network.

use crate::sasl::sasl_daemon;
use eventryd::net::TransportKind;
use std::time::Duration;
use test_support::client::RawClient;
use test_support::in_process::{address_of, loopback_tls};
use test_support::sasl::log_in;
use test_support::tls::committed_files;

/// In libvirtd, which counts them together, two idle TCP connections keep root from being served on the local socket.
#[test]
fn silent_clients_on_a_network_do_not_keep_local_ones_out() {
    let daemon = sasl_daemon(|config| {
        config.tls = Some(loopback_tls(committed_files()));
        config.max_anonymous_clients = 2;
    });
    let address = address_of(&daemon.ready, TransportKind::Tls);
    let _silent: Vec<_> = (0..5).map(|_| RawClient::connect_tcp(address)).collect();
    for _ in 0..5 {
        let mut local = daemon.connect();
        log_in(&mut local, "pencil");
        local.open();
    }
    daemon.stop();
}

#[test]
fn tcp_client_without_tls_hello_is_closed_in_time() {
    let daemon = sasl_daemon(|config| {
        config.tls = Some(loopback_tls(committed_files()));
        config.max_anonymous_clients = 1;
        config.auth_timeout = Duration::from_millis(100);
    });
    let address = address_of(&daemon.ready, TransportKind::Tls);
    // Each client is accepted when the one before it is closed.
    let silent: Vec<_> = (0..3).map(|_| RawClient::connect_tcp(address)).collect();
    for mut client in silent {
        assert!(client.is_closed());
    }
    daemon.stop();
}
