//! Errors of sockets, the run directory and pid files.

use std::io;
use std::path::PathBuf;

/// An error while a listening socket, its directory or a pid file is created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Another daemon of this kind holds the lock of the run directory.
    #[error(
        "another eventryd{} already serves {}; stop it, or choose another directory with --run-dir",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .run_dir.display()
    )]
    AlreadyRunning {
        /// The run directory.
        run_dir: PathBuf,
        /// Process id of the other daemon, if its pid file contains one.
        pid: Option<u32>,
    },
    /// Another process holds the lock of the pid file.
    #[error(
        "{} is locked by another process{}; stop it, or choose another file with --pid-file",
        .path.display(),
        .pid.map(|pid| format!(" ({pid})")).unwrap_or_default()
    )]
    PidFileInUse {
        /// Path of the pid file.
        path: PathBuf,
        /// Process id of the other process, if the file contains one.
        pid: Option<u32>,
    },
    /// The pid file could make the daemon write to a file of another user.
    #[error("the pid file {} {found}; {remedy}", .path.display())]
    UnsafePidFile {
        /// Path of the pid file.
        path: PathBuf,
        /// Kind of the path, as a verb and its object: "is a FIFO".
        found: String,
        /// Next step of the operator: "choose another path".
        remedy: &'static str,
    },
    /// A system call on a pid file failed.
    #[error("cannot {action} the pid file {}: {source}; {remedy}", .path.display())]
    PidFileIo {
        /// The failed action, as a verb.
        action: &'static str,
        /// Path of the pid file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
        /// Next step of the operator: "choose another path".
        remedy: String,
    },
    /// Another program listens on the socket.
    #[error(
        "{} is in use by another program; stop it, or choose another --run-dir or --prefix",
        .0.display()
    )]
    AddressInUse(PathBuf),
    /// The path exists and is not a socket, so the daemon must not delete it.
    #[error(
        "{} exists and is not a socket; move it away, or choose another --run-dir or --prefix",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// The path does not fit into a `sockaddr_un`.
    #[error(
        "{} is too long for a socket address (maximum 107 bytes); choose a shorter --run-dir",
        .0.display()
    )]
    PathTooLong(PathBuf),
    /// The group does not exist.
    #[error("there is no group {0:?} for the sockets; create it, or change unix_sock_group")]
    UnknownGroup(String),
    /// The process may not give a file to the group.
    #[error(
        "cannot give the sockets to the group {0:?}: the process is not a member of it; add its \
         user to the group, run it as root, or change unix_sock_group"
    )]
    NotInGroup(String),
    /// Another user owns the directory or may change it.
    #[error(
        "{} belongs to another user or is accessible to others; choose another --run-dir",
        .0.display()
    )]
    NotPrivate(PathBuf),
    /// The host cannot be resolved.
    #[error("cannot resolve {host:?}: {source}")]
    Resolve {
        /// The host, `*` for all addresses of the machine.
        host: String,
        /// The error of the resolver.
        source: io::Error,
    },
    /// The port is neither a port number nor a known service.
    #[error("there is no port {0:?}")]
    UnknownPort(String),
    /// A TCP socket cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The sockets passed by systemd are unusable.
    #[error(transparent)]
    Activation(ActivationError),
    /// A system call failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// The failed action, as a verb: "cannot {action} {path}".
        action: &'static str,
        /// The object of the action.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl NetError {
    /// Adds the failed action and its object to an error of the operating system.
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

/// A mismatch between the passed sockets and the environment. The daemon refuses to start then;
/// libvirtd starts, and the clients of such sockets wait forever (DM-402).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// The number of names differs from the number of descriptors.
    #[error(
        "systemd passed {fds} sockets but {names} names (LISTEN_FDNAMES); give each socket unit a \
         FileDescriptorName= such as eventryd.socket"
    )]
    NameCountMismatch {
        /// Number of descriptors.
        fds: usize,
        /// Number of names.
        names: usize,
    },
    /// The name is not one of those listed at [`SocketRole`](super::SocketRole).
    #[error(
        "systemd passed a socket with the unknown name {0:?}; valid names are eventryd.socket, \
         eventryd-ro.socket, eventryd-tcp.socket and eventryd-tls.socket"
    )]
    UnknownName(String),
    /// The descriptor is not a socket of the kind that its name requires.
    #[error("socket {name:?} from systemd cannot be used: {reason}")]
    Unusable {
        /// Name of the socket.
        name: String,
        /// Cause.
        reason: String,
    },
}
