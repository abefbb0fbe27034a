//! One client's TLS: bytes of the network in, plaintext out, and the other way round. No I/O.

use super::verify::TlsPeer;
use super::{TlsContext, TlsError, TlsFailure};
use rustls::ServerConnection;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// What tells a client that it has been let in (DM-1203).
const WELCOME: u8 = 1;

/// Unsent bytes at which no more is taken to be encrypted.
const MAX_UNSENT: usize = 64 << 10;

/// The server's side of one TLS connection.
///
/// The owner hands [`receive`](Self::receive) what arrives, [`send`](Self::send) what is to be told, and lets
/// [`write_to`](Self::write_to) put out bytes while [`wants_write`](Self::wants_write) says so. Its promises:
///
/// - the first byte of plaintext that it sends is a 1, alone in a record, once the client's certificate has been
///   found good; before that nothing is handed out, and nothing is taken;
/// - it keeps no plaintext: whatever a record holds is handed out before the call returns (DM-813);
/// - how the bytes are cut into pieces changes nothing.
pub struct TlsSession {
    connection: ServerConnection,
    stage: Stage,
}

enum Stage {
    /// The handshake is not over, or the client's certificate not judged.
    Opening(Arc<TlsContext>),
    /// The client was let in; if nobody is asked for a certificate there may be no name.
    Open(Option<TlsPeer>),
    /// It is over.
    Failed,
}

/// What [`TlsSession::receive`] has done besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The client has just been let in.
    pub opened: bool,
    /// What there is to say of the client's certificate, which was good enough.
    pub warning: Option<String>,
    /// The client has said that it sends no more.
    pub ended: bool,
}

impl TlsSession {
    pub(super) fn new(context: &Arc<TlsContext>) -> Result<TlsSession, TlsError> {
        let mut connection = ServerConnection::new(Arc::clone(&context.config))
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        connection.set_buffer_limit(Some(MAX_UNSENT));
        Ok(TlsSession {
            connection,
            stage: Stage::Opening(Arc::clone(context)),
        })
    }

    /// Takes bytes as they arrived, and hands the plaintext in them to `plaintext`.
    ///
    /// # Errors
    ///
    /// [`TlsFailure`]: send what [`write_to`](Self::write_to) still has, which for a certificate that was
    /// refused is at most the end of the handshake, and close. Whatever comes later is the same error.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        mut plaintext: impl FnMut(&[u8]),
    ) -> Result<Received, TlsFailure> {
        let mut received = Received::default();
        while !bytes.is_empty() && !received.ended {
            let step = self.step(&mut bytes, &mut plaintext, &mut received);
            step.inspect_err(|_| self.stage = Stage::Failed)?;
        }
        Ok(received)
    }

    fn step(
        &mut self,
        bytes: &mut &[u8],
        plaintext: &mut impl FnMut(&[u8]),
        received: &mut Received,
    ) -> Result<(), TlsFailure> {
        if matches!(self.stage, Stage::Failed) {
            return Err(protocol(&"the connection is over"));
        }
        let taken = self.connection.read_tls(bytes);
        let taken = taken.map_err(|error| protocol(&error))?;
        let processed = self.connection.process_new_packets();
        processed.map_err(|error| protocol(&error))?;
        match &self.stage {
            Stage::Opening(context) if !self.connection.is_handshaking() => {
                let context = Arc::clone(context);
                received.warning = self.open(&context)?;
                received.opened = true;
            }
            _ => {}
        }
        loop {
            let mut reader = self.connection.reader();
            let length = match reader.fill_buf() {
                Ok([]) => {
                    received.ended = true;
                    break;
                }
                Ok(chunk) => {
                    plaintext(chunk);
                    chunk.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(protocol(&error)),
            };
            reader.consume(length);
        }
        // It takes nothing after the client's farewell.
        received.ended |= taken == 0;
        Ok(())
    }

    /// Judges the client, and lets it in.
    fn open(&mut self, context: &TlsContext) -> Result<Option<String>, TlsFailure> {
        let chain = self.connection.peer_certificates();
        let (peer, warning) = match context.policy.judge(chain, (context.clock)()) {
            Ok((peer, warning)) => {
                let warning = warning.map(|unsuited| format!("{:?}: {unsuited}", peer.name));
                (Some(peer), warning)
            }
            Err(refusal) if context.policy.verify => return Err(TlsFailure::Refused(refusal)),
            Err(refusal) => (None, Some(format!("let in unverified: {refusal}"))),
        };
        // It goes into a record of its own.
        let written = self.connection.writer().write(&[WELCOME]);
        debug_assert_eq!(written.ok(), Some(1), "there is room for one byte");
        self.stage = Stage::Open(peer);
        Ok(warning)
    }

    /// Takes plaintext to be sent, and says how much of it: nothing while much is unsent, or nobody has been
    /// let in.
    pub fn send(&mut self, plaintext: &[u8]) -> usize {
        if !self.is_open() {
            return 0;
        }
        self.connection.writer().write(plaintext).unwrap_or(0)
    }

    /// Says that nothing follows what was sent (`close_notify`); nothing to a client that was not let in, which
    /// is to see no more than the end (DM-1203).
    pub fn farewell(&mut self) {
        if self.is_open() {
            self.connection.send_close_notify();
        }
    }

    /// Whether there are bytes to put out.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Puts bytes out, and says how many.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_to(&mut self, writer: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(writer)
    }

    /// Whether the client has been let in.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whose certificate the client has shown, once it has been let in.
    #[must_use]
    pub const fn peer(&self) -> Option<&TlsPeer> {
        match &self.stage {
            Stage::Open(peer) => peer.as_ref(),
            Stage::Opening(_) | Stage::Failed => None,
        }
    }
}

fn protocol(error: &dyn fmt::Display) -> TlsFailure {
    TlsFailure::Protocol(error.to_string())
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("is_open", &self.is_open())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
