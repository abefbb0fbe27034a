//! The configuration of a daemon.

use crate::admission::EVICTION_GRACE;
use crate::auth::{Authorizer, PkCheck, SaslConfig};
use crate::net::RunDir;
use crate::net::tls::{TlsFiles, TlsSettings, wall_clock};
use crate::session::{Auth, ClientLimits, Keepalive};
use crate::worker_pool::WorkerLimits;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of a daemon. All fields except the directory of the sockets have a default.
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
    /// The directory of the sockets.
    pub run_dir: RunDir,
    /// The prefix of the sockets' names. With `libvirt` the daemon replaces libvirtd (DM-201). Default `eventry`.
    pub prefix: String,
    /// The mode of the read-write socket. Default 0700 (DM-203).
    pub rw_mode: u32,
    /// The mode of the read-only socket. Default 0777 (DM-203).
    pub ro_mode: u32,
    /// The authentication type of the read-write socket. Default none (DM-1002).
    pub auth_unix_rw: Auth,
    /// The authentication type of the read-only socket. Default none (DM-1002).
    pub auth_unix_ro: Auth,
    /// The users of SASL authentication.
    pub sasl: SaslConfig,
    /// The program that decides polkit authentication. Default [`PkCheck`].
    pub authorizer: Arc<dyn Authorizer>,
    /// The timeout of the transport's handshake and the authentication together. Zero for no timeout. The handshake
    /// has a limit of its own, [`ClientLimits::handshake_timeout`]. Default 60 s (DM-603).
    pub auth_timeout: Duration,
    /// The number of anonymous clients, for local sockets and for networks each; more clients wait until one has
    /// authenticated, has disconnected or is [evicted](crate::admission::ClientAdmission). 0 for no limit. Default 20
    /// (DM-602).
    pub max_anonymous_clients: usize,
    /// The time without progress after which an unidentified client may be evicted for a waiting one. Default
    /// [`EVICTION_GRACE`].
    pub eviction_grace: Duration,
    /// The group of the Unix sockets, by name or number. Default that of the process (DM-202).
    pub socket_group: Option<String>,
    /// Set if the daemon serves the sockets that systemd has passed to this process instead of its own (DM-404).
    /// Default false, because passed sockets belong to the whole process and can be taken only once.
    pub socket_activation: bool,
    /// The service of a passed TCP socket if [`tcp`](Config::tcp) is `None`. Its address and port are not used. Default
    /// `None`: a passed TCP socket is an error.
    pub passed_tcp: Option<TcpService>,
    /// The service of a passed TLS socket if [`tls`](Config::tls) is `None`; otherwise like `passed_tcp`.
    pub passed_tls: Option<TlsService>,
    /// The TCP service, which is not encrypted. Default none (DM-302).
    pub tcp: Option<TcpService>,
    /// The TLS service. Default none (DM-302).
    pub tls: Option<TlsService>,
    /// The number of connections that may wait to be accepted, per socket, and of accepted clients that may wait for
    /// a slot. Default 1000 (DM-205).
    pub max_queued_clients: u32,
    /// The number of clients; more clients wait until one disconnects. From 8 on, some of it is
    /// [reserved](crate::admission::AdmissionLimits::reserved) for peers with few clients. The limit of open
    /// descriptors applies too. Default 5000 (DM-601).
    pub max_clients: NonZeroUsize,
    /// The limits of one client.
    pub client_limits: ClientLimits,
    /// The interval and the number of keepalive pings to a client that supports them. Default 5 s, 5 times (DM-904).
    pub keepalive: Keepalive,
    /// The threads for calls that may block. A driver that never blocks starts none. Default 5, 20, 5 (DM-701).
    pub workers: WorkerLimits,
    /// The longest wait of an orderly stop for calls in progress and for clients with unread replies. Default 5 s
    /// (DM-1303).
    pub shutdown_grace: Duration,
    /// The time without clients after which the daemon ends (DM-1307). Default `None`: no limit.
    pub idle_timeout: Option<Duration>,
    /// The clock that the dates of certificates are compared with, as the time since 1970. Default [`wall_clock`].
    pub wall_clock: fn() -> Duration,
    /// A pid file, locked while the daemon runs (DM-108), besides the one in the run directory. Default none.
    pub pid_file: Option<PathBuf>,
}

/// A service on plain TCP. Any host on the route can read and change the traffic.
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
    /// A port number or a service name; libvirt's port is 16509 (DM-301). With 0 the kernel chooses a port.
    pub port: String,
    /// The authentication type.
    pub auth: Auth,
}

/// A service over TLS, whose clients present a certificate signed by a configured authority.
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
    /// A port number or a service name. Default 16514 (DM-301). With 0 the kernel chooses a port.
    pub port: String,
    /// The authentication type, in addition to the certificate (DM-1210). Default none.
    pub auth: Auth,
    /// The settings of TLS itself.
    pub settings: TlsSettings,
}

impl TlsService {
    /// Returns the defaults with keys and certificates from `files`.
    #[must_use]
    pub fn new(files: TlsFiles) -> TlsService {
        TlsService {
            address: None,
            port: "16514".to_owned(),
            auth: Auth::None,
            settings: TlsSettings::new(files),
        }
    }
}

impl Config {
    /// Returns the defaults with sockets in `run_dir`.
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
            wall_clock,
            pid_file: None,
        }
    }

    /// Returns the path of the read-write socket.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.run_dir.path().join(format!("{}-sock", self.prefix))
    }

    /// Returns the path of the read-only socket.
    #[must_use]
    pub fn read_only_socket_path(&self) -> PathBuf {
        self.run_dir.path().join(format!("{}-sock-ro", self.prefix))
    }
}
