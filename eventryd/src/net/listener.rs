//! Listening sockets of both families.

use super::{Socket, TcpListener, UnixListener};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn each_waiting_connection_is_accepted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let listener = Listener::Unix(UnixListener::bind(&path, 0o600, 2).unwrap());
        assert!(listener.accept().unwrap().is_none());
        let _client = UnixStream::connect(&path).unwrap();
        assert!(listener.accept().unwrap().is_some());
        assert!(listener.accept().unwrap().is_none());
    }
}
