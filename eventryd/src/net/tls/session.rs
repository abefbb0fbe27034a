//! One TLS connection of a client, without I/O.

use super::certificate::CertificateHead;
use super::dn::distinguished_name;
use super::error::quoted;
use super::verify::TlsPeer;
use super::{ClientCertError, TlsConfigError, TlsContext, TlsSessionError};
use rustls::pki_types::CertificateDer;
use rustls::{
    InvalidMessage as InvalidMessageError, PeerIncompatible as PeerError, ServerConnection,
};
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// The byte that confirms to the client that its certificate is accepted (DM-1203).
const CONFIRMATION: u8 = 1;

/// Number of encrypted bytes at which no more plaintext is accepted.
const MAX_UNSENT: usize = 64 << 10;

/// The server side of one TLS connection.
///
/// The owner passes received bytes to [`receive`](Self::receive) and plaintext to
/// [`send`](Self::send), and calls [`write_to`](Self::write_to) while
/// [`wants_write`](Self::wants_write) returns `true`. The session guarantees:
///
/// - The first byte of plaintext that it sends is a 1, alone in a record, once the client's
///   certificate is accepted. Before that it neither returns nor accepts plaintext.
/// - It buffers no plaintext: [`receive`](Self::receive) passes on the content of every complete
///   record (DM-813).
/// - The result does not depend on the sizes of the pieces in which bytes arrive.
pub struct TlsSession {
    connection: ServerConnection,
    stage: Stage,
}

enum Stage {
    /// The handshake is in progress, or the client's certificate is not checked yet.
    Handshake(Arc<TlsContext>),
    /// The client is accepted. It has no name if certificates are not required.
    Open(Option<TlsPeer>),
    /// The session has failed.
    Failed,
}

/// Events of the session during a call of [`TlsSession::receive`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsReadOutcome {
    /// The client was accepted during this call.
    pub opened: bool,
    /// A problem of the client's certificate that did not lead to its rejection.
    pub warning: Option<String>,
    /// The client has sent `close_notify`.
    pub ended: bool,
}

impl TlsContext {
    /// Creates the server side of an accepted connection.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::Setup`] if rustls rejects the configuration, which
    /// [`load`](TlsContext::load) excludes.
    pub fn accept(self: &Arc<TlsContext>) -> Result<TlsSession, TlsConfigError> {
        let mut connection = ServerConnection::new(Arc::clone(&self.config))
            .map_err(|error| TlsConfigError::Setup(error.to_string()))?;
        connection.set_buffer_limit(Some(MAX_UNSENT));
        Ok(TlsSession {
            connection,
            stage: Stage::Handshake(Arc::clone(self)),
        })
    }
}

impl TlsSession {
    /// Processes received bytes and passes the decrypted ones to `plaintext`.
    ///
    /// # Errors
    ///
    /// [`TlsSessionError`] on failure. Send the remaining output with [`write_to`](Self::write_to),
    /// then close the connection. After a rejected certificate, the remaining output is at most the
    /// end of the handshake. Later calls fail, too.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        mut plaintext: impl FnMut(&[u8]),
    ) -> Result<TlsReadOutcome, TlsSessionError> {
        let mut outcome = TlsReadOutcome::default();
        while !bytes.is_empty() && !outcome.ended {
            let processed = self.process_record(&mut bytes, &mut plaintext, &mut outcome);
            processed.inspect_err(|_| self.stage = Stage::Failed)?;
        }
        Ok(outcome)
    }

    fn process_record(
        &mut self,
        bytes: &mut &[u8],
        plaintext: &mut impl FnMut(&[u8]),
        outcome: &mut TlsReadOutcome,
    ) -> Result<(), TlsSessionError> {
        if matches!(self.stage, Stage::Failed) {
            return Err(protocol_error(&"the session has already failed"));
        }
        let read = self.connection.read_tls(bytes);
        let read = read.map_err(|error| protocol_error(&error))?;
        let processed = self.connection.process_new_packets();
        processed.map_err(|error| self.describe(&error))?;
        match &self.stage {
            Stage::Handshake(context) if !self.connection.is_handshaking() => {
                let context = Arc::clone(context);
                outcome.warning = self.finish_handshake(&context)?;
                outcome.opened = true;
            }
            _ => {}
        }
        loop {
            let mut reader = self.connection.reader();
            let length = match reader.fill_buf() {
                Ok([]) => {
                    outcome.ended = true;
                    break;
                }
                Ok(chunk) => {
                    plaintext(chunk);
                    chunk.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(protocol_error(&error)),
            };
            reader.consume(length);
        }
        // rustls reads nothing after the client's `close_notify`.
        outcome.ended |= read == 0;
        Ok(())
    }

    /// Returns an error of rustls, with its cause in plain words if the client lacks what the first message needs.
    fn describe(&self, error: &rustls::Error) -> TlsSessionError {
        // Set once the version of the session is chosen.
        if self.connection.protocol_version().is_some() {
            return protocol_error(error);
        }
        match cause_in_first_message(error) {
            Some(cause) => TlsSessionError::Protocol(format!("{cause} ({error})")),
            None => protocol_error(error),
        }
    }

    /// Checks the client's certificate and confirms the connection.
    fn finish_handshake(
        &mut self,
        context: &TlsContext,
    ) -> Result<Option<String>, TlsSessionError> {
        let chain = self.connection.peer_certificates();
        let (peer, warning) = match context.policy.verify_client(chain, (context.clock)()) {
            Ok((peer, warning)) => {
                let warning = warning.map(|problem| format!("\"{}\": {problem}", peer.name));
                (Some(peer), warning)
            }
            Err(error) => {
                let name = match error {
                    ClientCertError::NotAllowed { .. } => None,
                    _ => chain.and_then(subject_of),
                };
                if context.policy.verify_clients {
                    return Err(TlsSessionError::ClientCertificate { name, error });
                }
                let name = quoted(name.as_deref());
                let warning = format!("{name}accepted without verification: {error}");
                (None, Some(warning))
            }
        };
        // rustls writes the byte into a record of its own.
        let written = self.connection.writer().write(&[CONFIRMATION]);
        debug_assert_eq!(written.ok(), Some(1), "the send buffer is empty");
        self.stage = Stage::Open(peer);
        Ok(warning)
    }

    /// Encrypts plaintext and returns the number of bytes accepted: 0 while too many bytes are
    /// unsent, or before the client is accepted.
    pub fn send(&mut self, plaintext: &[u8]) -> usize {
        if !self.is_open() {
            return 0;
        }
        self.connection.writer().write(plaintext).unwrap_or(0)
    }

    /// Queues `close_notify` for a client that was accepted. A rejected client gets none, because
    /// libvirt's clients expect only the end of the connection (DM-1203).
    pub fn close_notify(&mut self) {
        if self.is_open() {
            self.connection.send_close_notify();
        }
    }

    /// Returns `true` if there are bytes to send.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Writes encrypted bytes to `writer` and returns their number.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    pub fn write_to(&mut self, writer: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(writer)
    }

    /// Returns `true` once the client is accepted.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Returns the identity in the client's certificate, once the client is accepted.
    #[must_use]
    pub const fn peer(&self) -> Option<&TlsPeer> {
        match &self.stage {
            Stage::Open(peer) => peer.as_ref(),
            Stage::Handshake(_) | Stage::Failed => None,
        }
    }
}

/// Returns the subject of the first certificate, of which the other fields may be malformed.
fn subject_of(chain: &[CertificateDer<'_>]) -> Option<String> {
    let head = CertificateHead::read(chain.first()?).ok()?;
    distinguished_name(head.subject)
}

/// Returns the cause of an error in the first message of a client, if it is known.
const fn cause_in_first_message(error: &rustls::Error) -> Option<&'static str> {
    use rustls::Error::{InvalidMessage, PeerIncompatible};
    Some(match error {
        InvalidMessage(
            InvalidMessageError::InvalidContentType | InvalidMessageError::UnknownProtocolVersion,
        ) => "the client does not speak TLS",
        PeerIncompatible(PeerError::Tls12NotOffered) => {
            "the client offers only TLS 1.1 or older; TLS 1.2 is needed"
        }
        // Examined before the version. Clients of TLS 1.2 may leave it out, but do not.
        PeerIncompatible(PeerError::SignatureAlgorithmsExtensionRequired) => {
            "the client seems to offer only TLS 1.1 or older; TLS 1.2 is needed"
        }
        PeerIncompatible(PeerError::Tls12NotOfferedOrEnabled) => {
            "the client offers no version of TLS that the daemon accepts; see tls_priority"
        }
        PeerIncompatible(PeerError::SupportedVersionsExtensionRequired) => {
            "the client does not offer TLS 1.3, and tls_priority excludes TLS 1.2"
        }
        _ => return None,
    })
}

fn protocol_error(error: &dyn fmt::Display) -> TlsSessionError {
    TlsSessionError::Protocol(error.to_string())
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("is_open", &self.is_open())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
