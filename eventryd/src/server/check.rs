//! Checks of a configuration that need the system.

use super::authenticator::check_schemes;
use super::config::{Config, TcpService, TlsService};
use super::credentials::Credentials;
use super::error::DaemonError;
use super::limits::{check_descriptors, check_limits};
use super::startup::{for_passed_sockets, passed_roles};
use crate::net::{BoundSockets, PidFile, SocketRole, UnixListener, check_group, group_id};

/// Result of [`check`].
#[derive(Debug, Default)]
pub struct ConfigCheck {
    /// Everything that makes the start fail, in the order of the start.
    pub errors: Vec<DaemonError>,
    /// Warnings that the start logs.
    pub warnings: Vec<String>,
    /// Users, keys and certificates that the check has loaded, for [`run_process`](super::run_process).
    pub credentials: Credentials,
}

/// Checks all that a start needs, without a change to the system and without binding a socket.
///
/// The limits agree; users, keys, certificates and the group of the sockets are as the start needs
/// them; pid file and run directory can be used; the names of the sockets fit; addresses can be
/// resolved. Which addresses and locks are in use is not examined, so a configuration can be checked
/// while a daemon uses it.
///
/// ```
/// use eventryd::net::RunDir;
/// use eventryd::server::{self, Config};
///
/// let dir = tempfile::tempdir()?;
/// let mut config = Config::new(RunDir::Chosen(dir.path().into()));
/// assert!(server::check(&config).errors.is_empty());
/// config.socket_group = Some("no such group".into());
/// let errors = server::check(&config).errors;
/// assert!(errors[0].to_string().contains("no such group"));
/// assert_eq!(errors[0].settings(), ["unix_sock_group"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn check(config: &Config) -> ConfigCheck {
    let mut check = ConfigCheck::default();
    check.add(check_limits(config));
    check.add(check_descriptors());
    let used = match for_passed_sockets(config) {
        Ok(used) => used,
        Err(error) => {
            check.errors.push(error);
            return check;
        }
    };
    check.errors.extend(check_schemes(&used));
    let (credentials, unusable) = Credentials::load(&used);
    check.warnings = credentials.warnings();
    check.credentials = credentials;
    let (of_tls, of_users): (Vec<_>, Vec<_>) = unusable
        .into_iter()
        .partition(|error| matches!(error, DaemonError::Tls(_)));
    check.errors.extend(of_users);
    check.places(&used);
    match passed_roles(&used) {
        Ok(Some(passed)) => {
            for role in passed {
                let is_missing = match role {
                    SocketRole::Tcp => used.tcp.is_none(),
                    SocketRole::Tls => used.tls.is_none(),
                    _ => false,
                };
                if is_missing {
                    check.errors.push(DaemonError::NotConfigured(role));
                }
            }
        }
        Ok(None) => check.own_sockets(&used),
        Err(error) => check.errors.push(error),
    }
    check.errors.extend(of_tls);
    check
}

impl ConfigCheck {
    fn add(&mut self, result: Result<(), DaemonError>) {
        self.errors.extend(result.err());
    }

    /// Checks the pid files and the run directory.
    fn places(&mut self, config: &Config) {
        if let Some(path) = &config.pid_file {
            self.add(PidFile::check(path).map_err(DaemonError::PidFile));
        }
        if let Err(error) = config.run_dir.check() {
            self.errors.push(DaemonError::RunDir(error));
        } else if config.run_dir.path().is_dir() {
            let instance = PidFile::check_in(config.run_dir.path());
            self.add(instance.map_err(DaemonError::RunDir));
        }
    }

    /// Checks the sockets that the daemon creates.
    fn own_sockets(&mut self, config: &Config) {
        if let Some(name) = &config.socket_group {
            let group = group_id(name).and_then(|group| check_group(name, group));
            self.add(group.map_err(DaemonError::Network));
        }
        let paths = [config.socket_path(), config.read_only_socket_path()];
        let unusable = paths
            .iter()
            .find_map(|path| UnixListener::check(path).err());
        self.errors.extend(unusable.map(DaemonError::Network));
        if let Some(TcpService { address, port, .. }) = &config.tcp {
            self.address(SocketRole::Tcp, address.as_deref(), port);
        }
        if let Some(TlsService { address, port, .. }) = &config.tls {
            self.address(SocketRole::Tls, address.as_deref(), port);
        }
        if let (Some(tcp), Some(tls)) = (&config.tcp, &config.tls) {
            let ports = [&*tcp.port, &*tls.port];
            let is_valid = !self.has_address_error();
            if is_valid && tcp.address == tls.address && BoundSockets::is_same_port(ports) {
                self.errors.push(DaemonError::SamePort(tls.port.clone()));
            }
        }
    }

    fn has_address_error(&self) -> bool {
        let mut errors = self.errors.iter();
        errors.any(|error| matches!(error, DaemonError::Listen { .. }))
    }

    fn address(&mut self, role: SocketRole, host: Option<&str>, port: &str) {
        let errors = BoundSockets::check(host, port).err().unwrap_or_default();
        for source in errors {
            let error = DaemonError::Listen { role, source };
            // TCP and TLS have the same host.
            let text = error.to_string();
            if !self.errors.iter().any(|other| other.to_string() == text) {
                self.errors.push(error);
            }
        }
    }
}
