//! Clients of TLS.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file has this as a module of its own and uses its part"
)]

use eventryd::net::tls::{ServerFiles, TlsFiles};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

/// The server's files that are kept in the tree; the client's are beside them.
pub fn committed_files() -> TlsFiles {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pki");
    TlsFiles {
        ca: dir.join("ca.pem"),
        crl: None,
        server: vec![ServerFiles {
            certificate: dir.join("server.pem"),
            key: dir.join("server.key"),
        }],
    }
}

/// The lines of a configuration file that name these.
pub fn lines_naming(files: &TlsFiles) -> String {
    let mut lines = format!("ca_file = \"{}\"\n", files.ca.display());
    if let [of] = &files.server[..] {
        lines += &format!("cert_file = \"{}\"\n", of.certificate.display());
        lines += &format!("key_file = \"{}\"\n", of.key.display());
    }
    lines
}

/// The name in the server's certificate.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// A client that trusts the authority in `files`, with the certificate beside it, or none.
pub fn client_config(
    files: &TlsFiles,
    version: Version,
    with_certificate: bool,
) -> Arc<ClientConfig> {
    let beside = |name: &str| -> PathBuf { files.ca.with_file_name(name) };
    let identity = with_certificate.then(|| (beside("client.pem"), beside("client.key")));
    client_config_with(&files.ca, version, identity)
}

/// The same with a certificate and a key of one's own.
pub fn client_config_with(
    ca: &Path,
    version: Version,
    identity: Option<(PathBuf, PathBuf)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let versions = match version {
        Version::Tls12 => &[&rustls::version::TLS12],
        Version::Tls13 => &[&rustls::version::TLS13],
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else {
        return Arc::new(config.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    Arc::new(config.with_client_auth_cert(chain, key).unwrap())
}
