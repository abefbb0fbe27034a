//! What the listening sockets of all kinds have in common.

use super::{Socket, TcpListener, UnixListener};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// How every socket here is made (DM-206).
pub(super) const SOCKET_FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A local one.
    Unix(UnixListener),
    /// One that is reached over a network.
    Tcp(TcpListener),
}

/// Where a listening socket is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A path in the file system.
    Unix(PathBuf),
    /// An address and a port of this machine.
    Tcp(SocketAddr),
}

impl Listener {
    /// The next connection, or `None` if nobody waits.
    ///
    /// # Errors
    ///
    /// Whatever the operating system reports of itself, such as that there are no descriptors left. A
    /// connection that failed before it was accepted is passed over (DM-503).
    pub fn accept(&self) -> io::Result<Option<Socket>> {
        match self {
            Listener::Unix(listener) => Ok(listener.accept()?.map(Socket::Unix)),
            Listener::Tcp(listener) => Ok(listener.accept()?.map(Socket::Tcp)),
        }
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(&self) -> ListenAddress {
        match self {
            Listener::Unix(listener) => ListenAddress::Unix(listener.path().to_owned()),
            Listener::Tcp(listener) => ListenAddress::Tcp(listener.address()),
        }
    }

    /// Takes its name away, if it has one that is ours: nobody can connect by it any more.
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

/// The next connection that a listening socket has, whatever its kind.
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

/// Whether only the connection at the head of the queue has failed, and the next may be fine. Linux reports
/// what the network said of a connection when it is accepted.
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
