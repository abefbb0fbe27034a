//! Listening sockets of both families.

use super::{Socket, TcpListener, UnixListener};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Flags of every socket created here (DM-206).
pub(super) const SOCKET_FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket.
    Unix(UnixListener),
    /// A TCP socket.
    Tcp(TcpListener),
}

/// The address of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Path of a Unix socket.
    Unix(PathBuf),
    /// Address and port of this machine.
    Tcp(SocketAddr),
}

impl Listener {
    /// Accepts the next connection; `None` if the queue is empty.
    ///
    /// # Errors
    ///
    /// Errors of the operating system itself, such as `EMFILE`. Connections that failed in the
    /// queue are skipped (DM-503).
    pub fn accept(&self) -> io::Result<Option<Socket>> {
        match self {
            Listener::Unix(listener) => Ok(listener.accept()?.map(Socket::Unix)),
            Listener::Tcp(listener) => Ok(listener.accept()?.map(Socket::Tcp)),
        }
    }

    /// Returns the address of the socket.
    #[must_use]
    pub fn address(&self) -> ListenAddress {
        match self {
            Listener::Unix(listener) => ListenAddress::Unix(listener.path().to_owned()),
            Listener::Tcp(listener) => ListenAddress::Tcp(listener.address()),
        }
    }

    /// Removes the path of a Unix socket that the daemon created, so that no further client can
    /// connect.
    pub fn unlink(&self) {
        match self {
            Listener::Unix(listener) => listener.unlink(),
            Listener::Tcp(_) => {}
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Unix(path) => path.display().fmt(f),
            ListenAddress::Tcp(address) => address.fmt(f),
        }
    }
}

/// Accepts the next connection of a listening socket of either family; `None` if the queue is
/// empty.
pub(super) fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    loop {
        match accept_with(listener, SOCKET_FLAGS) {
            Ok(connection) => return Ok(Some(connection)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) if is_connection_error(error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns `true` if the error belongs to the connection at the head of the queue only. On Linux,
/// `accept` returns pending network errors of the new connection.
fn is_connection_error(error: Errno) -> bool {
    matches!(
        error,
        Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NONET
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::PERM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_resources_is_not_a_connection_error() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(!is_connection_error(errno), "{errno}");
        }
        assert!(is_connection_error(Errno::CONNABORTED));
    }
}
