//! How a client's bytes travel over its socket: as they are, or through TLS.

use super::Socket;
use super::tls::{TlsReadOutcome, TlsSession, TlsSessionError};
use std::io::{self, Write};
use std::mem::MaybeUninit;

/// How a client's bytes travel over its socket.
#[derive(Debug)]
pub enum Channel {
    /// As they are.
    Plain,
    /// Through TLS.
    Tls(Box<TlsSession>),
}

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The operating system says so; [`io::ErrorKind::WouldBlock`] only means later.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// TLS says so. What it had to say to the client was said.
    #[error(transparent)]
    Tls(#[from] TlsSessionError),
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrived {
    /// How much came off the socket.
    pub bytes: usize,
    /// What TLS has to say of it.
    pub tls: TlsReadOutcome,
}

impl Channel {
    /// Reads once, at most as much as fits into `buffer`, and hands the client's own bytes to `plaintext`;
    /// none at the end of its input. Nothing of them is kept back (DM-813).
    ///
    /// # Errors
    ///
    /// [`ChannelError`]
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
                // Its part of the handshake, or why there is none: one attempt, as the client may be gone.
                tls = received.inspect_err(|_| drop(session.write_to(&mut socket)))?;
            }
        }
        tls.ended |= bytes == 0;
        Ok(Arrived { bytes, tls })
    }

    /// Takes some of `bytes` to be sent, and says how many; 0 only if there are none, or the client has not
    /// been let in. What could not be put out yet waits in the channel: see
    /// [`wants_write`](Channel::wants_write).
    ///
    /// # Errors
    ///
    /// Those of the socket; [`io::ErrorKind::WouldBlock`] if it takes nothing now.
    pub fn write(&mut self, mut socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Plain => socket.write(bytes),
            Channel::Tls(session) => {
                flush(session, socket)?;
                Ok(session.send(bytes))
            }
        }
    }

    /// Puts out what waits in the channel.
    ///
    /// # Errors
    ///
    /// Those of the socket; [`io::ErrorKind::WouldBlock`] if something still waits.
    pub fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        match self {
            Channel::Plain => Ok(()),
            Channel::Tls(session) => flush(session, socket),
        }
    }

    /// Says that nothing follows, as far as the socket takes that at once. Nobody waits for it.
    pub fn farewell(&mut self, mut socket: &Socket) {
        if let Channel::Tls(session) = self {
            session.close_notify();
            // The client may be deaf, or gone.
            let _ = session.write_to(&mut socket);
        }
    }

    /// Whether something waits in the channel to be put out.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        match self {
            Channel::Plain => false,
            Channel::Tls(session) => session.wants_write(),
        }
    }

    /// Whether the client's own bytes may travel: over TLS, once it has been let in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Channel::Plain => true,
            Channel::Tls(session) => session.is_open(),
        }
    }

    /// The name in the certificate of a TLS client that was let in (DM-1007).
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
