//! What a daemon is told at its start.

use crate::admission::EVICTION_GRACE;
use crate::auth::{Authorizer, PkCheck, SaslConfig};
use crate::net::RunDir;
use crate::net::tls::{TlsFiles, TlsSettings};
use crate::session::{Auth, ClientLimits, Keepalive};
use crate::worker_pool::WorkerLimits;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a daemon is told at its start. Everything has a default but the place of its sockets.
///
/// ```
/// use eventryd::net::RunDir;
/// use eventryd::server::Config;
///
/// let config = Config::new(RunDir::Chosen("/tmp/example".into()));
/// assert_eq!(config.socket_path().to_str(), Some("/tmp/example/eventry-sock"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the sockets live.
    pub run_dir: RunDir,
    /// What the names of the sockets begin with; `libvirt` makes the daemon stand in for libvirtd
    /// (DM-201). Default `eventry`.
    pub prefix: String,
    /// Who may connect to the read-write socket. Default 0700 (DM-203).
    pub rw_mode: u32,
    /// Who may connect to the read-only socket. Default 0777 (DM-203).
    pub ro_mode: u32,
    /// How clients of the read-write socket have to authenticate. Default not at all (DM-1002).
    pub auth_unix_rw: Auth,
    /// How clients of the read-only socket have to authenticate. Default not at all (DM-1002).
    pub auth_unix_ro: Auth,
    /// Whom SASL lets in, where it is asked for.
    pub sasl: SaslConfig,
    /// Who decides where polkit is asked for. Default [`PkCheck`].
    pub authorizer: Arc<dyn Authorizer>,
    /// How long a client may stay anonymous: the handshake of its transport and its authentication. Zero
    /// for as long as it likes. Default 60 s (DM-603).
    pub auth_timeout: Duration,
    /// The number of anonymous clients, for local sockets and for networks each; more clients wait until one has
    /// authenticated, has gone or is [evicted](crate::admission::ClientAdmission). 0 for no limit. Default 20
    /// (DM-602).
    pub max_anonymous_clients: usize,
    /// How long an unidentified client may make no progress before it is evicted for one that waits. Default
    /// [`EVICTION_GRACE`].
    pub eviction_grace: Duration,
    /// The group of the Unix sockets, by name or number. Default that of the process (DM-202).
    pub socket_group: Option<String>,
    /// Whether to serve the sockets that systemd has passed to this process, in place of any of our own
    /// (DM-404). Default no: they are the whole process's, and can be taken once.
    pub socket_activation: bool,
    /// How to serve a socket for TCP that systemd has passed, where [`tcp`](Config::tcp) does not say. Its
    /// address does not matter. Default not at all: such a socket is an error.
    pub passed_tcp: Option<TcpService>,
    /// The same for TLS, and [`tls`](Config::tls).
    pub passed_tls: Option<TlsService>,
    /// Where to listen on TCP, without encryption. Default nowhere (DM-302).
    pub tcp: Option<TcpService>,
    /// Where to listen for TLS. Default nowhere (DM-302).
    pub tls: Option<TlsService>,
    /// The number of connections that may wait to be accepted, per socket, and of accepted clients that may wait for
    /// a slot. Default 1000 (DM-205).
    pub max_queued_clients: u32,
    /// The number of clients; more clients wait until one goes, except for a few of peers that
    /// [have few](crate::admission::ClientAdmission). No more than there are descriptors for. Default 5000 (DM-601).
    pub max_clients: NonZeroUsize,
    /// What one client may use.
    pub client_limits: ClientLimits,
    /// When a client that answers pings is pinged, and when it is given up. Default 5 s, 5 times (DM-904).
    pub keepalive: Keepalive,
    /// Threads for calls that may block; a driver that answers from memory has none of them. Default 5, 20, 5
    /// (DM-701).
    pub workers: WorkerLimits,
    /// How long an orderly stop waits for calls that are not over, and for clients that have not read their
    /// last answers. Default 5 s (DM-1303).
    pub shutdown_grace: Duration,
    /// How long there may be no client before the daemon ends (DM-1307). Default for ever.
    pub idle_timeout: Option<Duration>,
    /// A file for the number of the process, locked while it runs (DM-108). There is one in the run directory
    /// in any case. Default none.
    pub pid_file: Option<PathBuf>,
}

/// A service on plain TCP: whoever is on the way reads and changes what is said.
///
/// ```
/// use eventryd::server::TcpService;
/// use eventryd::session::Auth;
///
/// let tcp = TcpService { address: Some("127.0.0.1".into()), port: "16509".into(), auth: Auth::None };
/// # let _ = tcp;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpService {
    /// A host of this machine, by name or number. `None` for all its addresses.
    pub address: Option<String>,
    /// A number, or the name of a service; libvirt's is 16509 (DM-301). 0 lets the system choose.
    pub port: String,
    /// How clients have to authenticate.
    pub auth: Auth,
}

/// A service over TLS: clients show a certificate that an authority of ours has signed.
///
/// ```
/// use eventryd::net::tls::TlsFiles;
/// use eventryd::server::TlsService;
///
/// let tls = TlsService::new(TlsFiles::default_for(None, |_| false));
/// assert_eq!(tls.port, "16514");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsService {
    /// A host of this machine, by name or number. `None` for all its addresses.
    pub address: Option<String>,
    /// A number, or the name of a service. Default 16514 (DM-301). 0 lets the system choose.
    pub port: String,
    /// How clients have to authenticate, besides their certificate (DM-1210). Default not at all.
    pub auth: Auth,
    /// Keys and certificates.
    pub files: TlsFiles,
    /// Patterns for the subjects of clients' certificates, in the form of GnuTLS; an empty list allows nobody.
    /// Default `None`: all (DM-1205).
    pub allowed_dn: Option<Vec<String>>,
    /// Whether clients whose certificate is refused are cut off. Default yes (DM-1204).
    pub verify_clients: bool,
    /// Whether our own certificates are checked at the start and at a reload. Default yes (DM-1202).
    pub sanity_checks: bool,
    /// A GnuTLS priority string, of which a part is understood. Default NORMAL (DM-1207).
    pub priority: Option<String>,
}

impl TlsService {
    /// The defaults, with keys and certificates from `files`.
    #[must_use]
    pub fn new(files: TlsFiles) -> TlsService {
        TlsService {
            address: None,
            port: "16514".to_owned(),
            auth: Auth::None,
            files,
            allowed_dn: None,
            verify_clients: true,
            sanity_checks: true,
            priority: None,
        }
    }

    /// What concerns TLS itself.
    pub(super) fn settings(&self) -> TlsSettings {
        TlsSettings {
            files: self.files.clone(),
            allowed_dn: self.allowed_dn.clone(),
            verify_clients: self.verify_clients,
            sanity_checks: self.sanity_checks,
            priority: self.priority.clone(),
        }
    }
}

impl Config {
    /// The defaults, with sockets in `run_dir`.
    #[must_use]
    pub fn new(run_dir: RunDir) -> Config {
        Config {
            run_dir,
            prefix: "eventry".to_owned(),
            rw_mode: 0o700,
            ro_mode: 0o777,
            auth_unix_rw: Auth::None,
            auth_unix_ro: Auth::None,
            sasl: SaslConfig::default(),
            authorizer: Arc::new(PkCheck::default()),
            max_anonymous_clients: 20,
            eviction_grace: EVICTION_GRACE,
            socket_group: None,
            socket_activation: false,
            passed_tcp: None,
            passed_tls: None,
            tcp: None,
            tls: None,
            auth_timeout: Duration::from_secs(60),
            max_queued_clients: 1000,
            max_clients: const { NonZeroUsize::new(5000).unwrap() },
            client_limits: ClientLimits::default(),
            keepalive: Keepalive::default(),
            workers: WorkerLimits::default(),
            shutdown_grace: Duration::from_secs(5),
            idle_timeout: None,
            pid_file: None,
        }
    }

    /// The path of the read-write socket.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.run_dir.path().join(format!("{}-sock", self.prefix))
    }

    /// The path of the read-only socket.
    #[must_use]
    pub fn read_only_socket_path(&self) -> PathBuf {
        self.run_dir.path().join(format!("{}-sock-ro", self.prefix))
    }
}
