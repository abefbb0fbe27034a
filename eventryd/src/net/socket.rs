//! One connection's socket.

use rustix::net::{RecvFlags, recv};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// How clients reach a service, by libvirt's numbers (DM-1505).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// By a socket of this machine.
    Unix = 0,
    /// Over a network, as it is.
    Tcp = 1,
    /// Over a network, encrypted.
    Tls = 2,
}

/// A connection as it was accepted: non-blocking and close-on-exec (DM-206).
///
/// What travels over it is not its concern: a TLS client's is a [`Tcp`](Socket::Tcp) too.
#[derive(Debug)]
pub enum Socket {
    /// A local one.
    Unix(UnixStream),
    /// One over a network.
    Tcp(TcpStream),
}

impl Socket {
    /// Who is at the other end of a network; `None` for a local peer, and for one that is gone.
    #[must_use]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        match self {
            Socket::Unix(_) => None,
            Socket::Tcp(stream) => stream.peer_addr().ok(),
        }
    }

    /// Reads once, and returns what was read; nothing at the end of the peer's input. What is in `buffer` does not
    /// matter, so that nobody has to clear it for every read.
    ///
    /// # Errors
    ///
    /// Those of the socket; [`io::ErrorKind::WouldBlock`] if there is nothing to read now.
    pub fn receive<'a>(&self, buffer: &'a mut [MaybeUninit<u8>]) -> io::Result<&'a mut [u8]> {
        let ((received, _), _) = recv(self, buffer, RecvFlags::empty())?;
        Ok(received)
    }

    /// Whether something waits to be read. Nothing is read.
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
    fn input_is_seen_and_not_taken() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Socket::Unix(ours);
        assert!(!ours.has_input());
        theirs.write_all(b"x").unwrap();
        assert!(ours.has_input() && ours.has_input());
        assert_eq!(ours.receive(&mut [MaybeUninit::uninit(); 9]).unwrap(), b"x");
        drop(theirs);
        assert!(!ours.has_input(), "its end is no input");
    }
}
