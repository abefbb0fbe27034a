//! The transport of the daemon: a socket, with or without TLS.

use super::transport::{Amount, Discarded, Handshake, ReadOutcome, Transport, TransportError};
use crate::net::Socket;
use crate::net::tls::{TlsReadOutcome, TlsSession};
use std::io::{self, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::Arc;

/// The number of bytes to read at once.
const READ_SIZE: usize = 16 * 1024;

/// A socket, with or without TLS.
#[derive(Debug)]
pub struct SocketTransport {
    /// Shared with the event loop, which keeps it open until it frees the handle.
    socket: Arc<Socket>,
    /// Boxed: most clients have none.
    tls: Option<Box<TlsSession>>,
}

impl SocketTransport {
    /// Creates the transport of a connection that was just accepted.
    #[must_use]
    pub fn new(socket: Arc<Socket>, tls: Option<TlsSession>) -> SocketTransport {
        let tls = tls.map(Box::new);
        SocketTransport { socket, tls }
    }
}

impl Transport for SocketTransport {
    /// Reads once and passes on all plaintext: the TLS session keeps none (DM-813).
    fn read(&mut self, mut plaintext: impl FnMut(&[u8])) -> Result<ReadOutcome, TransportError> {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let read = loop {
            match self.socket.receive(&mut buffer) {
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(ReadOutcome {
                        amount: Amount::Nothing,
                        ended: false,
                        handshake: None,
                    });
                }
                Err(error) => return Err(error.into()),
            }
        };
        let (is_end, is_full) = (read.is_empty(), read.len() == READ_SIZE);
        let mut received = TlsReadOutcome::default();
        let mut name = None;
        match &mut self.tls {
            None if is_end => {}
            None => plaintext(read),
            Some(tls) => {
                let result = tls.receive(read, plaintext);
                // Sends the end of the handshake or an alert, in one attempt: the client may be gone.
                received = result.inspect_err(|_| drop(tls.write_to(&mut &*self.socket)))?;
                if received.opened {
                    name = tls.peer().map(|peer| peer.name.as_str().into());
                }
            }
        }
        let warning = received.warning;
        Ok(ReadOutcome {
            amount: if is_full { Amount::Full } else { Amount::Short },
            ended: is_end || received.ended,
            handshake: received.opened.then_some(Handshake { name, warning }),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let taken = match &mut self.tls {
            None => unless_blocked(|| (&*self.socket).write(bytes))?,
            Some(tls) => send(tls, &self.socket)?.map(|()| tls.send(bytes)),
        };
        Ok(taken.unwrap_or(0))
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        if let Some(tls) = &mut self.tls {
            send(tls, &self.socket)?;
        }
        Ok(())
    }

    fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    fn is_open(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_open())
    }

    fn close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify();
            // Fails if the client is gone. If the client does not read, the alert is lost.
            let _ = tls.write_to(&mut &*self.socket);
        }
    }

    /// A Unix socket keeps what was sent.
    fn begin_linger(&mut self) -> bool {
        let socket = Arc::clone(&self.socket);
        match &*socket {
            Socket::Unix(_) => false,
            Socket::Tcp(stream) => {
                self.close_notify();
                // Fails if the client is gone.
                stream.shutdown(Shutdown::Write).is_ok()
            }
        }
    }

    fn discard(&mut self) -> Result<Discarded, TransportError> {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let received = unless_blocked(|| self.socket.receive(&mut buffer).map(|read| read.len()))?;
        Ok(match received {
            None => Discarded::Nothing,
            Some(0) => Discarded::End,
            Some(count) => Discarded::Bytes(count),
        })
    }
}

/// Sends the output of TLS; `None` if the socket does not take all of it now.
fn send(tls: &mut TlsSession, mut socket: &Socket) -> io::Result<Option<()>> {
    while tls.wants_write() {
        if unless_blocked(|| tls.write_to(&mut socket))?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

/// Repeats a system call that a signal interrupts; `None` if it would block.
fn unless_blocked<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            result => return result.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn transport() -> (SocketTransport, UnixStream) {
        let (own, peer) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        let socket = Arc::new(Socket::Unix(own));
        (SocketTransport::new(socket, None), peer)
    }

    #[test]
    fn read_tells_nothing_from_bytes_and_the_end() {
        let (mut transport, mut peer) = transport();
        let mut read = || {
            let mut received = Vec::new();
            let outcome = transport
                .read(|bytes| received.extend_from_slice(bytes))
                .unwrap();
            (outcome.amount, outcome.ended, received)
        };
        assert_eq!(read(), (Amount::Nothing, false, Vec::new()));
        peer.write_all(b"abc").unwrap();
        assert_eq!(read(), (Amount::Short, false, b"abc".to_vec()));
        peer.write_all(&[1; READ_SIZE + 1]).unwrap();
        assert_eq!(read().0, Amount::Full);
        assert_eq!(read(), (Amount::Short, false, vec![1]));
        drop(peer);
        assert_eq!(read(), (Amount::Short, true, Vec::new()));
    }

    #[test]
    fn failed_system_call_is_an_error() {
        let (mut transport, peer) = transport();
        // With unread input, the end of the peer is a reset.
        assert_eq!(transport.write(b"unread").unwrap(), 6);
        drop(peer);
        assert!(transport.read(|_| ()).is_err());
        assert!(transport.write(b"x").is_err());
    }

    #[test]
    fn full_socket_takes_nothing() {
        let (mut transport, _peer) = transport();
        while transport.write(&[0; 65_536]).unwrap() > 0 {}
        assert_eq!(transport.write(b"x").unwrap(), 0);
    }
}
