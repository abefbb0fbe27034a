//! Transfer of a client's bytes over its socket, with or without TLS.

use super::Socket;
use super::tls::{TlsReadOutcome, TlsSession, TlsSessionError};
use std::io::{self, Write};
use std::mem::MaybeUninit;

/// The encryption of a connection.
#[derive(Debug)]
pub enum Channel {
    /// No encryption.
    Plain,
    /// TLS.
    Tls(Box<TlsSession>),
}

/// A failure after which the connection must be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// An error of the socket; with [`io::ErrorKind::WouldBlock`], the connection continues and the
    /// call is repeated later.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// A failure of TLS. The alert, if any, was already sent.
    #[error(transparent)]
    Tls(#[from] TlsSessionError),
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrived {
    /// Number of bytes read from the socket.
    pub bytes: usize,
    /// Events of the TLS session; the default without TLS.
    pub tls: TlsReadOutcome,
}

impl Channel {
    /// Reads once, at most `buffer.len()` bytes, and passes the decrypted bytes to `plaintext`,
    /// which is not called at the end of the input. No decrypted byte stays in the channel
    /// (DM-813).
    ///
    /// # Errors
    ///
    /// [`ChannelError`] of the socket or of TLS.
    pub fn read(
        &mut self,
        mut socket: &Socket,
        buffer: &mut [MaybeUninit<u8>],
        mut plaintext: impl FnMut(&[u8]),
    ) -> Result<Arrived, ChannelError> {
        let read = socket.receive(buffer)?;
        let bytes = read.len();
        let mut tls = TlsReadOutcome::default();
        match self {
            Channel::Plain if read.is_empty() => {}
            Channel::Plain => plaintext(read),
            Channel::Tls(session) => {
                let received = session.receive(read, plaintext);
                // Sends the alert or the rest of the handshake, in one attempt: the client may be
                // gone.
                tls = received.inspect_err(|_| drop(session.write_to(&mut socket)))?;
            }
        }
        tls.ended |= bytes == 0;
        Ok(Arrived { bytes, tls })
    }

    /// Takes some of `bytes` to send and returns their number; 0 only if `bytes` is empty or the
    /// TLS handshake is not complete. Encrypted bytes that the socket does not accept stay in the
    /// channel: see [`wants_write`](Channel::wants_write).
    ///
    /// # Errors
    ///
    /// Errors of the socket; [`io::ErrorKind::WouldBlock`] if it accepts nothing now.
    pub fn write(&mut self, mut socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Plain => socket.write(bytes),
            Channel::Tls(session) => {
                flush(session, socket)?;
                Ok(session.send(bytes))
            }
        }
    }

    /// Sends the bytes that are buffered in the channel.
    ///
    /// # Errors
    ///
    /// Errors of the socket; [`io::ErrorKind::WouldBlock`] if bytes are still buffered.
    pub fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        match self {
            Channel::Plain => Ok(()),
            Channel::Tls(session) => flush(session, socket),
        }
    }

    /// Sends `close_notify` over TLS, as far as the socket accepts it without blocking.
    pub fn farewell(&mut self, mut socket: &Socket) {
        if let Channel::Tls(session) = self {
            session.close_notify();
            // The client may not read, or be gone; the connection is closed in either case.
            let _ = session.write_to(&mut socket);
        }
    }

    /// Returns `true` if the channel has buffered bytes to send.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        match self {
            Channel::Plain => false,
            Channel::Tls(session) => session.wants_write(),
        }
    }

    /// Returns `true` if plaintext may be sent and received: over TLS, once the client's
    /// certificate is accepted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Channel::Plain => true,
            Channel::Tls(session) => session.is_open(),
        }
    }

    /// Returns the subject of the client's certificate, once it is accepted (DM-1007).
    #[must_use]
    pub fn peer_name(&self) -> Option<&str> {
        match self {
            Channel::Plain => None,
            Channel::Tls(session) => session.peer().map(|peer| peer.name.as_str()),
        }
    }
}

fn flush(session: &mut TlsSession, mut socket: &Socket) -> io::Result<()> {
    while session.wants_write() {
        match session.write_to(&mut socket) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => drop(written?),
        }
    }
    Ok(())
}
