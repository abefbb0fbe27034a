//! The socket of one connection.

use rustix::net::{RecvFlags, recv};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The transport of a service, with libvirt's numbers (DM-1505).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// A Unix socket.
    Unix = 0,
    /// TCP without encryption.
    Tcp = 1,
    /// TCP with TLS.
    Tls = 2,
}

/// An accepted connection: non-blocking and close-on-exec (DM-206).
///
/// Encryption is a separate layer: the connection of a TLS client is a [`Tcp`](Socket::Tcp) socket.
#[derive(Debug)]
pub enum Socket {
    /// A Unix socket.
    Unix(UnixStream),
    /// A TCP socket.
    Tcp(TcpStream),
}

impl Socket {
    /// Returns the address of a TCP peer; `None` for a Unix socket and for a peer that has
    /// disconnected.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Unix(_) => None,
            Socket::Tcp(stream) => stream.peer_addr().ok(),
        }
    }

    /// Reads once into `buffer` and returns the bytes read, none at the end of the input. The
    /// buffer may be uninitialised, which saves clearing it for every read.
    ///
    /// # Errors
    ///
    /// Errors of the socket; [`io::ErrorKind::WouldBlock`] if there is nothing to read now.
    pub fn receive<'a>(&self, buffer: &'a mut [MaybeUninit<u8>]) -> io::Result<&'a mut [u8]> {
        let ((received, _), _) = recv(self, buffer, RecvFlags::empty())?;
        Ok(received)
    }

    /// Returns `true` if bytes are available to read. They stay in the socket.
    #[must_use]
    pub fn has_input(&self) -> bool {
        let looked = recv(self, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked.is_ok_and(|(count, _)| count > 0)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => (&*stream).write(bytes),
            Socket::Tcp(stream) => (&*stream).write(bytes),
        }
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => (&*stream).write_vectored(bytes),
            Socket::Tcp(stream) => (&*stream).write_vectored(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Unix(stream) => stream.as_fd(),
            Socket::Tcp(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DM-1505
    #[test]
    fn transports_have_libvirts_numbers() {
        let numbers =
            [TransportKind::Unix, TransportKind::Tcp, TransportKind::Tls].map(|kind| kind as u8);
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn has_input_leaves_the_bytes_in_the_socket() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Socket::Unix(ours);
        assert!(!ours.has_input());
        theirs.write_all(b"x").unwrap();
        assert!(ours.has_input() && ours.has_input());
        assert_eq!(ours.receive(&mut [MaybeUninit::uninit(); 9]).unwrap(), b"x");
        drop(theirs);
        assert!(!ours.has_input(), "the end of the input counts as no input");
    }
}
