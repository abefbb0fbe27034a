//! Anonymous clients on a network.

use crate::sasl::sasl_daemon;
use eventryd::net::ListenAddress;
use eventryd::server::TlsService;
use std::net::SocketAddr;
use std::time::Duration;
use test_support::client::RawClient;
use test_support::sasl::log_in;
use test_support::tls::committed_files;

fn loopback_tls() -> TlsService {
    let mut tls = TlsService::new(committed_files());
    tls.address = Some("127.0.0.1".to_owned());
    tls.port = "0".to_owned();
    tls
}

fn address_of(daemon: &crate::TestDaemon) -> SocketAddr {
    let mut endpoints = daemon.ready.endpoints.iter();
    let tcp = endpoints.find_map(|endpoint| match endpoint.address {
        ListenAddress::Tcp(address) => Some(address),
        ListenAddress::Unix(_) => None,
    });
    tcp.expect("a TCP endpoint")
}

/// In libvirtd, which counts them together, two idle TCP connections keep root from being served on the local socket.
#[test]
fn silent_clients_on_a_network_do_not_keep_local_ones_out() {
    let daemon = sasl_daemon(|config| {
        config.tls = Some(loopback_tls());
        config.max_anonymous_clients = 2;
    });
    let address = address_of(&daemon);
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
        config.tls = Some(loopback_tls());
        config.max_anonymous_clients = 1;
        config.auth_timeout = Duration::from_millis(100);
    });
    let address = address_of(&daemon);
    // Each client is accepted when the one before it is closed.
    let silent: Vec<_> = (0..3).map(|_| RawClient::connect_tcp(address)).collect();
    for mut client in silent {
        assert!(client.is_closed());
    }
    daemon.stop();
}
