//! The daemon of the soak test, its services and its use of resources.

use eventryd::auth::{PasswordChange, change_password};
use rustix::process::{Pid, Resource, Rlimit, Signal, Uid, geteuid, getrlimit, prlimit};
use rustix::thread::set_thread_uid;
use rustls::ClientConfig;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use test_support::client::{Stream, connect_from};
use test_support::daemon::Daemon;
use test_support::timeout::{TIMEOUT, wait_until};
use test_support::tls::{Tls, Version, client_config, committed_files, lines_naming};

pub(crate) const PASSWORD: &str = "pencil";

/// The settings that do not change. A silent client is closed after five seconds.
const SETTINGS: &str = "listen_tcp = 1\ntcp_port = \"0\"\nauth_tcp = \"none\"\n\
     listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n\
     unix_sock_rw_perms = \"0777\"\nauth_unix_ro = \"sasl\"\neventry_auth_timeout = 5\n\
     keepalive_interval = 1\nkeepalive_count = 4\n\
     log_level = 3\nlog_filters = \"2:daemon\"\neventry_log_burst = 0\n";

/// A service of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The read-write socket, without authentication.
    ReadWrite,
    /// The read-only socket, with SASL.
    ReadOnly,
    Tcp,
    Tls,
}

pub(crate) const SERVICES: [Service; 4] = [
    Service::ReadWrite,
    Service::ReadOnly,
    Service::Tcp,
    Service::Tls,
];

/// The role of a client. The roles have different addresses and users.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Polite,
    Hostile,
}

pub(crate) type ClientStream = Box<dyn Stream + Send>;

/// Changes the user of this thread alone, if the process runs as root.
pub(crate) fn become_other_user() {
    if geteuid().is_root() {
        set_thread_uid(Uid::from_raw(OTHER_USER)).unwrap();
    }
}

const OTHER_USER: u32 = 65534;

pub(crate) struct Target {
    // The first field, because it is dropped before the daemon and its directory.
    log: Log,
    daemon: Daemon,
    dir: PathBuf,
    tcp: SocketAddr,
    tls: SocketAddr,
    descriptors: Rlimit,
    /// The client configurations, which are read before any thread changes its user.
    tls_clients: TlsClients,
}

/// Configurations of TLS clients without and with a certificate.
struct TlsClients {
    tls12: [Arc<ClientConfig>; 2],
    tls13: [Arc<ClientConfig>; 2],
}

impl TlsClients {
    fn load() -> TlsClients {
        let of = |version| {
            [false, true].map(|certificate| client_config(&committed_files(), version, certificate))
        };
        TlsClients {
            tls12: of(Version::Tls12),
            tls13: of(Version::Tls13),
        }
    }
}

/// The resources that the daemon uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// The private dirty memory in KiB.
    pub(crate) private_kib: u64,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading {
            descriptors,
            threads,
            private_kib,
        } = self;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {private_kib} KiB"
        )
    }
}

impl Target {
    pub(crate) fn start() -> Target {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        // Other users may connect to the sockets.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let set = PasswordChange::Set {
            password: PASSWORD.as_bytes(),
            iterations: NonZeroU32::new(4096).unwrap(),
        };
        change_password(&path.join("passwords"), "fred", set).unwrap();
        let file = path.join("eventryd.conf");
        write_settings(&path, "");
        let file = file.display().to_string();
        let daemon = Daemon::start_in(dir, &["--config", &file]);
        let [tcp, tls] = ["TCP", "TLS"].map(|kind| daemon.addresses(kind)[0]);
        // The daemon raises its soft limit to the hard limit, which it inherits from this process.
        let most = getrlimit(Resource::Nofile).maximum;
        let descriptors = Rlimit {
            current: most,
            maximum: most,
        };
        Target {
            log: Log(path.join("log")),
            daemon,
            dir: path,
            tcp,
            tls,
            descriptors,
            tls_clients: TlsClients::load(),
        }
    }

    /// Returns the configuration of a TLS client.
    pub(crate) fn tls_client(&self, version: Version, with_certificate: bool) -> Arc<ClientConfig> {
        let clients = match version {
            Version::Tls12 => &self.tls_clients.tls12,
            Version::Tls13 => &self.tls_clients.tls13,
        };
        Arc::clone(&clients[usize::from(with_certificate)])
    }

    /// Connects without a TLS handshake.
    pub(crate) fn connect_raw(&self, service: Service, role: Role) -> io::Result<ClientStream> {
        Ok(match service {
            Service::ReadWrite => with_timeout(UnixStream::connect(self.daemon.socket())?, role)?,
            Service::ReadOnly => {
                with_timeout(UnixStream::connect(self.daemon.read_only_socket())?, role)?
            }
            Service::Tcp => with_timeout(self.connect_tcp(role)?, role)?,
            Service::Tls => with_timeout(self.connect_tls(role)?, role)?,
        })
    }

    /// Connects, with a complete handshake on TLS.
    pub(crate) fn connect(&self, service: Service, role: Role) -> io::Result<ClientStream> {
        if service != Service::Tls {
            return self.connect_raw(service, role);
        }
        let config = self.tls_client(Version::Tls13, true);
        let stream = self.connect_tls(role)?;
        stream.set_timeout(timeout_of(role))?;
        let mut stream = Tls::over(stream, config);
        let mut welcome = [0];
        stream.read_exact(&mut welcome)?;
        Ok(Box::new(stream))
    }

    pub(crate) fn connect_tcp(&self, role: Role) -> io::Result<TcpStream> {
        connect_as(role, self.tcp)
    }

    /// Connects to the port of TLS without a handshake.
    pub(crate) fn connect_tls(&self, role: Role) -> io::Result<TcpStream> {
        connect_as(role, self.tls)
    }

    /// Reloads the configuration with additional lines, and waits until the daemon has handled the signal.
    pub(crate) fn reload_with(&self, more: &str) {
        let reloads = || self.log.read().matches(" SIGHUP: ").count();
        let before = reloads();
        write_settings(&self.dir, more);
        self.daemon.signal(Signal::HUP);
        wait_until("SIGHUP is handled", || {
            thread::sleep(Duration::from_millis(50));
            reloads() > before
        });
    }

    /// Limits the daemon to `more` free descriptors.
    pub(crate) fn leave_descriptors(&self, more: u64) {
        let current = self.daemon.descriptors() as u64 + more;
        self.limit_descriptors(Rlimit {
            current: Some(current),
            ..self.descriptors
        });
    }

    pub(crate) fn leave_all_descriptors(&self) {
        self.limit_descriptors(self.descriptors);
    }

    fn limit_descriptors(&self, limit: Rlimit) {
        prlimit(pid_of(&self.daemon), Resource::Nofile, limit).unwrap();
    }

    pub(crate) fn read(&self) -> Reading {
        let proc = PathBuf::from(format!("/proc/{}", self.daemon.pid()));
        let smaps = fs::read_to_string(proc.join("smaps_rollup")).unwrap();
        let line = smaps
            .lines()
            .find(|line| line.starts_with("Private_Dirty:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        Reading {
            descriptors: self.daemon.descriptors(),
            threads: fs::read_dir(proc.join("task")).unwrap().count(),
            private_kib: number.parse().unwrap(),
        }
    }

    /// Waits until there are no more descriptors and threads than in `before`, and returns the resources then in use. A
    /// thread of the start may have been among those.
    pub(crate) fn settled(&self, before: Reading) -> Reading {
        let mut last = self.read();
        let what = format!("there are no more descriptors and threads than before ({before})");
        wait_until(&what, || {
            thread::sleep(Duration::from_millis(100));
            last = self.read();
            last.descriptors <= before.descriptors && last.threads <= before.threads
        });
        last
    }

    /// Stops the daemon, and returns its log.
    pub(crate) fn stop(self) -> String {
        let log = self.log.read();
        let ended = self.daemon.stop();
        assert_eq!(ended.status, Some(0), "{}", ended.log);
        assert_eq!(ended.left_behind, [""; 0]);
        log + &ended.log
    }
}

/// The log of the daemon.
struct Log(PathBuf);

impl Log {
    fn read(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }
}

impl Drop for Log {
    /// Prints the log of the polite clients and the last lines, if the test fails.
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.read();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(50);
            let of_polite = |line: &&&str| line.contains("uid=0") || line.contains("=127.0.0.2:");
            let before = lines[..last].iter().filter(of_polite);
            for line in before.chain(&lines[last..]) {
                println!("soak: {line}");
            }
        }
    }
}

fn pid_of(daemon: &Daemon) -> Option<Pid> {
    Pid::from_raw(daemon.pid() as i32)
}

/// Writes the configuration file. The rename makes the change atomic for the daemon.
fn write_settings(dir: &Path, more: &str) {
    let text = format!(
        "{SETTINGS}{}eventry_sasl_password_file = \"{}\"\nlog_outputs = \"2:file:{}\"\n",
        lines_naming(&committed_files()),
        dir.join("passwords").display(),
        dir.join("log").display()
    );
    let fresh = dir.join("fresh");
    fs::write(&fresh, text + more).unwrap();
    fs::rename(fresh, dir.join("eventryd.conf")).unwrap();
}

/// Returns the timeout of reads and writes. Hostile clients do not wait long.
fn timeout_of(role: Role) -> Duration {
    match role {
        Role::Polite => TIMEOUT,
        Role::Hostile => Duration::from_secs(2),
    }
}

fn with_timeout(stream: impl Stream + Send + 'static, role: Role) -> io::Result<ClientStream> {
    stream.set_timeout(timeout_of(role))?;
    Ok(Box::new(stream))
}

fn connect_as(role: Role, to: SocketAddr) -> io::Result<TcpStream> {
    let last = match role {
        Role::Polite => 2,
        Role::Hostile => 3,
    };
    connect_from(last, to)
}
