//! The interface between a connection and its transport.

use crate::net::tls::TlsSessionError;
use std::io;

/// Bytes to and from one peer: a socket with or without TLS, or a pipe in tests.
pub trait Transport {
    /// Reads once, and passes the plaintext to `plaintext`.
    ///
    /// # Errors
    /// [`TransportError`]: the connection must be closed.
    fn read(&mut self, plaintext: impl FnMut(&[u8])) -> Result<ReadOutcome, TransportError>;

    /// Takes some of `bytes` to send, and returns their number; 0 if it takes nothing now.
    ///
    /// # Errors
    /// [`TransportError`]: the connection must be closed.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError>;

    /// Sends the bytes that earlier calls of [`write`](Self::write) have left in the transport, as far as the
    /// peer takes them now.
    ///
    /// # Errors
    /// [`TransportError`]: the connection must be closed.
    fn flush(&mut self) -> Result<(), TransportError>;

    /// Tests if bytes are left in the transport.
    fn wants_write(&self) -> bool;

    /// Tests if plaintext can be sent and received: with TLS, after the handshake.
    fn is_open(&self) -> bool;

    /// Notifies the peer that nothing follows, if the socket accepts that without blocking. Without TLS, does
    /// nothing.
    fn close_notify(&mut self);

    /// Closes the sending side, with the notification of [`close_notify`](Self::close_notify). Returns `true` if sent
    /// bytes could be lost when the transport is closed before the peer has closed its side: then input is to be
    /// [dropped](Self::discard) first.
    fn begin_linger(&mut self) -> bool;

    /// Reads once, and drops the bytes.
    ///
    /// # Errors
    /// [`TransportError`]: the connection must be closed.
    fn discard(&mut self) -> Result<Discarded, TransportError>;
}

/// The result of dropping input once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// This number of bytes was dropped.
    Bytes(usize),
    /// There is no input now.
    Nothing,
    /// The peer sends no more.
    End,
}

/// The result of reading once.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The amount that was read.
    pub amount: Amount,
    /// Set if the peer sends no more.
    pub ended: bool,
    /// The handshake that has just been completed.
    pub handshake: Option<Handshake>,
}

/// The amount of input that one read returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// As much as can be read at once; more may follow.
    Full,
    /// Less than can be read at once: all input was read, except for its end.
    Short,
    /// Nothing is available now.
    Nothing,
}

/// The result of a TLS handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The distinguished name in the certificate of the client (DM-1007).
    pub name: Option<Box<str>>,
    /// A defect of the certificate that was tolerated.
    pub warning: Option<String>,
}

/// The failure of a transport.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The operating system reports an error.
    #[error("the connection failed: {0}")]
    Socket(#[from] io::Error),
    /// TLS failed. The alert, if there is one, was sent.
    #[error(transparent)]
    Tls(#[from] TlsSessionError),
}
