//! The certificates of the server, and what its handshake tells clients.

use super::Setup;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, SignatureScheme};
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use test_support::client::RawClient;
use test_support::rpc::GET_HOSTNAME;
use test_support::tls::{Tls, Version, client_config_with, handshake};

/// A session ticket or a session of TLS 1.2 would let a client in without the check of its certificate. libvirt's clients
/// read a ticket instead of the confirmation.
#[test]
fn each_connection_has_a_full_handshake() {
    let running = Setup::new().start("");
    for version in [Version::Tls12, Version::Tls13] {
        let identity = ["direct.pem", "direct.key"].map(|name| running.chain.path(name));
        let ca = running.chain.path("root.pem");
        // The configuration keeps what is needed to resume.
        let config = client_config_with(&ca, version, Some(identity.into()));
        for _ in 0..2 {
            let stream = TcpStream::connect(running.address).unwrap();
            let mut client = handshake(Tls::over(stream, Arc::clone(&config)));
            client.open();
            client.call(GET_HOSTNAME, &[]);
            let kind = client.stream.0.conn.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full), "{version:?}");
        }
    }
}

/// A client without a certificate, which counts the authorities that the server names.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl ResolvesClientCert for Counting {
    fn resolve(&self, names: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(names.len(), Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Clients with several certificates choose by these names.
#[test]
fn handshake_names_every_authority() {
    let setup = Setup::new();
    setup.chain.join(&["root.pem", "brief.pem"], "ca.pem");
    let running = setup.start("");
    let mut config: ClientConfig = (*running.chain.client("direct")).clone();
    let counting = Arc::new(Counting::default());
    config.client_auth_cert_resolver = Arc::clone(&counting) as Arc<dyn ResolvesClientCert>;
    let stream = TcpStream::connect(running.address).unwrap();
    let mut client = RawClient::over(Tls::over(stream, Arc::new(config)));
    let _ = client.stream.read(&mut [0]);
    assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    running.assert_logged("client certificate rejected: the client sent none");
}

/// Each of several certificates is checked for its purpose, and against the authorities.
#[test]
fn every_server_certificate_is_checked() {
    let setup = Setup::new();
    let pair = |name: &str| {
        let path = |end| setup.chain.path(&format!("{name}.{end}"));
        let [pem, key] = ["pem", "key"].map(path);
        (pem.display().to_string(), key.display().to_string())
    };
    let lines = |second: &str| {
        let ((pem, key), (other_pem, other_key)) = (pair("server"), pair(second));
        format!("cert_files = [ '{pem}', '{other_pem}' ]\nkey_files = [ '{key}', '{other_key}' ]\n")
    };
    let (unknown, of_client) = (lines("lasting"), lines("direct"));
    let said = setup.start_error(&unknown);
    assert!(
        said.contains("lasting.pem is not signed by the CA"),
        "{said}"
    );
    let running = setup.start(&of_client);
    running.assert_logged("direct.pem: its extended key usage does not allow a TLS server");
    assert!(running.accepts("direct"));
}
