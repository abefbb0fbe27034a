//! Why a socket or the place for it could not be had.

use std::io;
use std::path::PathBuf;

/// A listening socket, its directory or the daemon's lock could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Another daemon of this kind holds the run directory.
    #[error(
        "another eventryd{} already serves {}; stop it, or choose another directory with --run-dir",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .run_dir.display()
    )]
    AlreadyRunning {
        /// The directory.
        run_dir: PathBuf,
        /// The other daemon's process, if its pid file says so.
        pid: Option<u32>,
    },
    /// Another process holds the pid file.
    #[error(
        "{} is locked by another process{}; stop it, or choose another file with --pid-file",
        .path.display(),
        .pid.map(|pid| format!(" ({pid})")).unwrap_or_default()
    )]
    PidFileInUse {
        /// The file.
        path: PathBuf,
        /// The other process, if the file says so.
        pid: Option<u32>,
    },
    /// Something answers on the socket already.
    #[error("{} is in use by another program; stop it, or choose another --run-dir or --prefix", .0.display())]
    AddressInUse(PathBuf),
    /// The path is taken by something that is not a socket, which is not ours to delete.
    #[error("{} exists and is not a socket; move it away, or choose another --run-dir or --prefix", .0.display())]
    NotASocket(PathBuf),
    /// The path does not fit into a socket address.
    #[error("{} is too long for a socket address (107 bytes at most); choose a shorter --run-dir", .0.display())]
    PathTooLong(PathBuf),
    /// There is no such group.
    #[error("there is no group {0:?} for the sockets; make it, or change unix_sock_group")]
    UnknownGroup(String),
    /// The directory can be changed by other users.
    #[error("{} belongs to somebody else or is open to others; choose another --run-dir", .0.display())]
    NotPrivate(PathBuf),
    /// The host or the port stands for no address.
    #[error(
        "cannot find out what {host}:{port} is: {source}; name an address of this machine, and a port by its number or as in /etc/services"
    )]
    Resolve {
        /// The host, `*` for all addresses of the machine.
        host: String,
        /// The port.
        port: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// A TCP socket could not be made.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The sockets that systemd has passed are not what they should be.
    #[error(transparent)]
    Activation(super::ActivationError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl NetError {
    /// Adds what was tried, and on what, to an error of the operating system.
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(E) -> NetError {
        let path = path.to_owned();
        move |source| NetError::Io {
            action,
            path,
            source: source.into(),
        }
    }
}
