//! The errors that end a daemon.

use crate::auth::AuthError;
use crate::net::tls::TlsConfigError;
use crate::net::{NetError, SocketRole};
use eventry::RunError;
use std::error::Error;
use std::io;
use std::path::Path;

/// An error at the start or in the operation of a daemon. Each has the exit status of libvirt's daemons (DM-106).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Another daemon holds the run directory, or its lock cannot be taken.
    #[error(transparent)]
    PidFile(NetError),
    /// The run directory cannot be created or used.
    #[error(transparent)]
    RunDir(NetError),
    /// The configuration is contradictory or not supported.
    #[error("{message}")]
    Config {
        /// The settings that cause the error.
        settings: &'static [&'static str],
        /// The cause, and what to do.
        message: String,
    },
    /// The configured authentication is not possible.
    #[error(transparent)]
    Auth(AuthError),
    /// The limit of open files leaves no descriptors for clients.
    #[error(
        "the limit of open files is {limit}, but the daemon needs {needed}: raise it (LimitNOFILE= of the service)"
    )]
    TooFewDescriptors {
        /// The limit of the process.
        limit: u64,
        /// The smallest limit that suffices.
        needed: u64,
    },
    /// The event loop cannot be created.
    #[error("cannot start the event loop: {0}")]
    EventLoop(#[source] io::Error),
    /// The signals cannot be caught.
    #[error("cannot watch for signals: {0}")]
    Signals(#[source] io::Error),
    /// A listening socket cannot be created.
    #[error(transparent)]
    Network(NetError),
    /// A TCP socket, with or without TLS, cannot be created.
    #[error("{source}; {}", address_remedy(*.role, .source))]
    Listen {
        /// The service of the socket.
        role: SocketRole,
        /// The cause.
        source: NetError,
    },
    /// TCP and TLS have the same port.
    #[error(
        "`tcp_port` and `tls_port` are both {0}, so only one service could listen; set another port for one of them"
    )]
    SamePort(String),
    /// The keys or certificates are not usable.
    #[error(transparent)]
    Tls(TlsConfigError),
    /// A passed socket has a service that is not configured.
    #[error(
        "a socket was passed for {}, but the configuration has no service for it: {}; or disable the \
         socket unit",
        if *.0 == SocketRole::Tls { "TLS" } else { "TCP" },
        if *.0 == SocketRole::Tls {
            "its settings for TLS contradict each other; set `listen_tls = 1` and run `eventryd --check-config` to list the errors"
        } else {
            "set `auth_tcp = \"none\"` if the network is trusted"
        }
    )]
    NotConfigured(SocketRole),
    /// A listening socket cannot be added to the event loop.
    #[error("cannot watch a listening socket: {0}")]
    Enable(String),
    /// The driver cannot be initialised.
    #[error("cannot initialise the driver: {0}")]
    Driver(#[source] Box<dyn Error + Send + Sync>),
    /// The event loop has failed.
    #[error("the event loop has failed: {0}")]
    Loop(#[source] RunError),
}

impl DaemonError {
    /// Returns the exit status of the process.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            DaemonError::PidFile(_) => 1,
            DaemonError::RunDir(_) => 2,
            DaemonError::TooFewDescriptors { .. }
            | DaemonError::EventLoop(_)
            | DaemonError::Loop(_) => 3,
            DaemonError::Signals(_) => 4,
            DaemonError::Network(_)
            | DaemonError::Listen { .. }
            | DaemonError::SamePort(_)
            | DaemonError::Tls(_)
            | DaemonError::NotConfigured(_)
            | DaemonError::Enable(_) => 6,
            DaemonError::Config { .. } | DaemonError::Auth(_) => 7,
            DaemonError::Driver(_) => 11,
        }
    }

    /// Returns the message for an error that the command-line option `option` causes. It names the option instead of
    /// the settings of the file that stand for it.
    ///
    /// ```
    /// use eventryd::net::{BoundSockets, SocketRole};
    /// use eventryd::server::DaemonError;
    ///
    /// let mut errors = BoundSockets::check(Some("no.such.host.invalid"), "0").unwrap_err();
    /// let error = DaemonError::Listen { role: SocketRole::Tcp, source: errors.remove(0) };
    /// assert!(error.to_string().contains("set listen_addr to an address of this machine"));
    /// let message = error.message_for_option("--listen-tcp");
    /// assert!(message.contains("give --listen-tcp an address of this machine"));
    /// ```
    #[must_use]
    pub fn message_for_option(&self, option: &str) -> String {
        match self {
            DaemonError::Listen { source, .. } => {
                format!("{source}; {}", address_option_remedy(option, source))
            }
            DaemonError::SamePort(port) => format!(
                "the port of TCP (`tcp_port`, here {option}) and `tls_port` are both {port}, so only one service could \
                 listen; give {option} another port, or set another tls_port"
            ),
            other => other.to_string(),
        }
    }

    /// Returns the settings that may cause the error, the likeliest first; none if it is not about the
    /// configuration. The first of them that is set is the cause.
    #[must_use]
    pub fn settings(&self) -> &'static [&'static str] {
        match self {
            DaemonError::Config { settings, .. } => settings,
            DaemonError::PidFile(NetError::AlreadyRunning { .. }) | DaemonError::RunDir(_) => {
                &["unix_sock_dir"]
            }
            DaemonError::PidFile(_) => &["eventry_pid_file"],
            DaemonError::Auth(AuthError::PkcheckMissing(_)) => &["auth_unix_rw", "auth_unix_ro"],
            DaemonError::Auth(_) => &[
                "eventry_sasl_password_file",
                "auth_unix_rw",
                "auth_unix_ro",
                "auth_tls",
            ],
            DaemonError::Network(error) => match error {
                NetError::UnknownGroup(_) | NetError::NotInGroup(_) => &["unix_sock_group"],
                NetError::PathTooLong(path) if is_name_longer(path) => {
                    &["eventry_prefix", "unix_sock_dir"]
                }
                NetError::PathTooLong(_) | NetError::NotASocket(_) | NetError::AddressInUse(_) => {
                    &["unix_sock_dir", "eventry_prefix"]
                }
                _ => &[],
            },
            DaemonError::Listen { role, source } => address_settings(*role, source),
            DaemonError::Tls(error) => error.settings(),
            DaemonError::SamePort(_) => &["tcp_port", "tls_port", "listen_tls"],
            DaemonError::NotConfigured(SocketRole::Tcp) => &["auth_tcp"],
            _ => &[],
        }
    }
}

/// Returns `true` if the name of a file is longer than the path of its directory.
fn is_name_longer(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.len() > path.as_os_str().len() / 2)
}

/// Returns what to do about the address of a network service, with the settings to change.
fn address_remedy(role: SocketRole, error: &NetError) -> String {
    let port = match role {
        SocketRole::Tls => "tls_port",
        _ => "tcp_port",
    };
    match error {
        NetError::Resolve { .. } => {
            "set listen_addr to an address of this machine, without brackets, or to a name that /etc/hosts or DNS knows"
                .to_owned()
        }
        NetError::UnknownPort(_) => format!("set {port} to {VALID_PORT}"),
        NetError::Listen { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("stop the program that uses it, or set another {port}")
            }
            io::ErrorKind::AddrNotAvailable => {
                "set listen_addr to an address of this machine, as `ip address` shows them".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 need a privilege: set another {port}")
            }
            _ => "set another listen_addr".to_owned(),
        },
        _ => format!("set another listen_addr or {port}"),
    }
}

/// Returns what to do about an address of the command-line option `option`.
fn address_option_remedy(option: &str, error: &NetError) -> String {
    match error {
        NetError::Resolve { .. } => {
            format!(
                "give {option} an address of this machine, or a name that /etc/hosts or DNS knows"
            )
        }
        NetError::UnknownPort(_) => format!("give {option} {VALID_PORT}"),
        NetError::Listen { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("stop the program that uses it, or give {option} another port")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("give {option} an address of this machine, as `ip address` shows them")
            }
            io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 need a privilege: give {option} another port")
            }
            _ => format!("give {option} another address"),
        },
        _ => format!("give {option} another address"),
    }
}

/// Description of the valid ports of a TCP service.
const VALID_PORT: &str =
    "a port number from 0 to 65535, or the name of a TCP service in /etc/services";

/// Returns the settings of the address of a network service that may cause the error.
fn address_settings(role: SocketRole, error: &NetError) -> &'static [&'static str] {
    let is_host = match error {
        NetError::Resolve { .. } => true,
        NetError::Listen { source, .. } => source.kind() == io::ErrorKind::AddrNotAvailable,
        _ => false,
    };
    match (role, is_host) {
        (SocketRole::Tls, true) => &["listen_addr", "tls_port", "listen_tls"],
        (SocketRole::Tls, false) => &["tls_port", "listen_addr", "listen_tls"],
        (_, true) => &["listen_addr", "tcp_port", "listen_tcp"],
        (_, false) => &["tcp_port", "listen_addr", "listen_tcp"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn listen(kind: io::ErrorKind) -> DaemonError {
        DaemonError::Listen {
            role: SocketRole::Tcp,
            source: NetError::Listen {
                address: "192.0.2.1:1".to_owned(),
                source: kind.into(),
            },
        }
    }

    #[test]
    fn address_error_of_an_option_names_the_option() {
        for (kind, remedy) in [
            (
                io::ErrorKind::AddrInUse,
                "stop the program that uses it, or give --x another port",
            ),
            (
                io::ErrorKind::AddrNotAvailable,
                "give --x an address of this machine, as `ip address` shows them",
            ),
            (
                io::ErrorKind::PermissionDenied,
                "ports below 1024 need a privilege: give --x another port",
            ),
            (io::ErrorKind::Other, "give --x another address"),
        ] {
            let message = listen(kind).message_for_option("--x");
            assert!(message.ends_with(&format!("; {remedy}")), "{message}");
        }
    }

    #[test]
    fn first_setting_is_the_one_to_change() {
        let unix = |error| DaemonError::Network(error).settings()[0];
        let longer =
            |name: usize| PathBuf::from(format!("/{}/{}", "d".repeat(50), "n".repeat(name)));
        assert_eq!(unix(NetError::PathTooLong(longer(80))), "eventry_prefix");
        assert_eq!(unix(NetError::PathTooLong(longer(20))), "unix_sock_dir");
        assert_eq!(unix(NetError::NotASocket("/x".into())), "unix_sock_dir");
        assert_eq!(listen(io::ErrorKind::AddrInUse).settings()[0], "tcp_port");
        assert_eq!(
            listen(io::ErrorKind::AddrNotAvailable).settings()[0],
            "listen_addr"
        );
    }
}
