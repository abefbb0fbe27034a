//! TLS clients.

use crate::client::{RawClient, Stream};
use eventryd::net::tls::{ServerFiles, TlsFiles};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Returns the server's files in the repository. The client's files are in the same directory.
///
/// # Panics
///
/// If the mode of the keys cannot be set.
pub fn committed_files() -> TlsFiles {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pki");
    // A checkout lets all users read the keys, and the daemon refuses such keys.
    for key in ["server.key", "client.key"] {
        set_mode(&dir.join(key), 0o600);
    }
    TlsFiles {
        ca: dir.join("ca.pem"),
        crl: None,
        server: vec![ServerFiles {
            certificate: dir.join("server.pem"),
            key: dir.join("server.key"),
        }],
    }
}

/// Sets the permission bits of a file.
///
/// # Panics
///
/// If this is not possible.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Copies of the files in `pki/chain`: a root, an intermediate authority, certificates, and revocation lists that are
/// named after what they revoke.
pub struct Chain(PathBuf);

impl Chain {
    /// Copies the files into the directory `dir`. Only their owner can read the keys.
    ///
    /// # Panics
    ///
    /// If a file cannot be copied.
    pub fn in_dir(dir: &Path) -> Chain {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("pki/chain");
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            let copy = dir.join(file.file_name());
            fs::copy(file.path(), &copy).unwrap();
            set_mode(&copy, 0o600);
        }
        Chain(dir.to_owned())
    }

    /// Returns the path of a file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces the file `to` by the contents of several others.
    ///
    /// # Panics
    ///
    /// If a file cannot be read or written.
    pub fn join(&self, from: &[&str], to: &str) {
        let texts = from.iter().map(|name| fs::read(self.path(name)).unwrap());
        fs::write(self.path(to), texts.collect::<Vec<_>>().concat()).unwrap();
    }

    /// Returns a server's files: the certificate and key `server`, the CA file `ca.pem` and the revocation lists
    /// `lists.crl`, which exist if a test has written them.
    #[must_use]
    pub fn files(&self, server: &str) -> TlsFiles {
        TlsFiles {
            ca: self.path("ca.pem"),
            crl: Some(self.path("lists.crl")),
            server: vec![ServerFiles {
                certificate: self.path(&format!("{server}.pem")),
                key: self.path(&format!("{server}.key")),
            }],
        }
    }

    /// Returns the configuration of a client with the certificate `name`.
    #[must_use]
    pub fn client(&self, name: &str) -> Arc<ClientConfig> {
        self.client_by(ring::default_provider(), name)
    }

    /// Returns such a configuration with another cryptography than ring's.
    #[must_use]
    pub fn client_by(&self, provider: CryptoProvider, name: &str) -> Arc<ClientConfig> {
        let [certificate, key] = [".pem", ".key"].map(|end| self.path(&format!("{name}{end}")));
        let identity = Some((certificate, key));
        client_config_by(provider, &self.path("root.pem"), Version::Tls13, identity)
    }

    /// Connects with the certificate `name`. Returns the client, or `None` if the server rejects it.
    ///
    /// # Panics
    ///
    /// If the connection is not possible.
    #[must_use]
    pub fn connect(&self, name: &str, address: SocketAddr) -> Option<RawClient<Tls>> {
        let stream = Tls::over(TcpStream::connect(address).unwrap(), self.client(name));
        let mut client = RawClient::over(stream);
        let mut welcome = [0];
        let accepted = client
            .stream
            .read(&mut welcome)
            .is_ok_and(|length| length == 1);
        assert!(!accepted || welcome == [1]);
        accepted.then_some(client)
    }
}

/// Returns the lines of a configuration file for these files.
pub fn lines_naming(files: &TlsFiles) -> String {
    let mut lines = format!("ca_file = \"{}\"\n", files.ca.display());
    if let Some(crl) = &files.crl {
        lines += &format!("crl_file = \"{}\"\n", crl.display());
    }
    if let [of] = &files.server[..] {
        lines += &format!("cert_file = \"{}\"\n", of.certificate.display());
        lines += &format!("key_file = \"{}\"\n", of.key.display());
    }
    lines
}

/// Returns the name in the server's certificate.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Returns a client configuration that trusts the authority in `files`. The client's certificate is in the same
/// directory.
pub fn client_config(
    files: &TlsFiles,
    version: Version,
    with_certificate: bool,
) -> Arc<ClientConfig> {
    let beside = |name: &str| -> PathBuf { files.ca.with_file_name(name) };
    let identity = with_certificate.then(|| (beside("client.pem"), beside("client.key")));
    client_config_with(&files.ca, version, identity)
}

/// Returns a client configuration that trusts `ca`. `identity` is the client's certificate and key.
pub fn client_config_with(
    ca: &Path,
    version: Version,
    identity: Option<(PathBuf, PathBuf)>,
) -> Arc<ClientConfig> {
    client_config_by(ring::default_provider(), ca, version, identity)
}

/// Returns such a client configuration with another cryptography than ring's.
///
/// # Panics
///
/// If a file is not usable.
pub fn client_config_by(
    provider: CryptoProvider,
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
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else {
        return Arc::new(config.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let key = config.crypto_provider().key_provider.load_private_key(key);
    // rustls does not compare the key with the certificate, which may be one that it cannot parse.
    let identity = SingleCertAndKey::from(CertifiedKey::new(chain, key.unwrap()));
    Arc::new(config.with_client_cert_resolver(Arc::new(identity)))
}

/// A TLS stream for a [`RawClient`].
pub struct Tls(pub StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    /// Creates a client on a connection. It sends nothing yet.
    pub fn over(stream: TcpStream, config: Arc<ClientConfig>) -> Tls {
        let connection = ClientConnection::new(config, server_name()).unwrap();
        Tls(StreamOwned::new(connection, stream))
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Tls {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.0.sock.set_timeout(timeout)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.sock.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.sock.shutdown(how)
    }
}

/// Reads the byte by which the server confirms the certificate, and returns the client.
pub fn handshake(stream: Tls) -> RawClient<Tls> {
    let mut client = RawClient::over(stream);
    let mut welcome = [0];
    client.stream.read_exact(&mut welcome).unwrap();
    assert_eq!(welcome, [1]);
    client
}
