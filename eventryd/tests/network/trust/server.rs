//! The certificates of the server, and what its handshake tells clients.

use super::Setup;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, SignatureScheme};
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use test_support::client::RawClient;
use test_support::rpc::GET_HOSTNAME;
use test_support::tls::{Tls, Version, client_config_with, handshake, set_mode};

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
    set_mode(&setup.chain.path("direct.key"), 0o644);
    let said = setup.start_error(&of_client);
    assert!(said.contains("direct.key has mode 0644"), "{said}");
    set_mode(&setup.chain.path("direct.key"), 0o600);
    let said = setup.start_error(&unknown);
    assert!(
        said.contains("lasting.pem cannot be verified with the CA"),
        "{said}"
    );
    let running = setup.start(&of_client);
    running.assert_logged("direct.pem: its extended key usage does not allow a TLS server");
    // The first certificate suits the client.
    let client = running.chain.connect("direct", running.address).unwrap();
    let presented = client.stream.0.conn.peer_certificates().unwrap();
    let server = CertificateDer::from_pem_file(running.chain.path("server.pem")).unwrap();
    assert_eq!(presented, [server]);
}

#[test]
fn only_the_versions_of_tls_priority_are_offered() {
    for (priority, offered) in [
        ("NORMAL:-VERS-TLS1.3", Version::Tls12),
        ("NORMAL:-VERS-TLS1.2", Version::Tls13),
    ] {
        let running = Setup::new().start(&format!("tls_priority = \"{priority}\"\n"));
        for version in [Version::Tls12, Version::Tls13] {
            let identity = ["direct.pem", "direct.key"].map(|name| running.chain.path(name));
            let ca = running.chain.path("root.pem");
            let config = client_config_with(&ca, version, Some(identity.into()));
            let stream = TcpStream::connect(running.address).unwrap();
            let mut client = RawClient::over(Tls::over(stream, config));
            let is_served = client.stream.read(&mut [0]).is_ok_and(|length| length == 1);
            assert_eq!(is_served, version == offered, "{priority}: {version:?}");
        }
    }
}

#[test]
fn settings_skip_the_checks_of_certificates() {
    let mut setup = Setup::new();
    setup.server = "lasting";
    let said = setup.start_error("");
    assert!(
        said.contains("lasting.pem cannot be verified with the CA"),
        "{said}"
    );
    setup.start("tls_no_sanity_certificate = 1\n");

    let running = Setup::new().start("tls_no_verify_certificate = 1\n");
    assert!(running.accepts("lasting"));
    running.assert_logged("accepted without verification: it is not signed by a configured CA");
}

#[test]
fn reload_logs_the_warnings_of_a_new_certificate() {
    let mut running = Setup::new().start("");
    running.chain.join(&["direct.pem"], "server.pem");
    running.chain.join(&["direct.key"], "server.key");
    running.reload();
    running.assert_logged("server.pem: its extended key usage does not allow a TLS server");
}
