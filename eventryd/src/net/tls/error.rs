//! Why TLS cannot be had, and why a client did not get through.

use super::cert_check::CertCheckError;
use super::priority::PriorityError;
use std::io;
use std::path::PathBuf;

/// The files for TLS do not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", .path.display())]
    Read {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("there is no {what} in {} that can be used: {reason}", .path.display())]
    Content {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate does not suit its part.
    #[error(
        "the {what} {} does not do: {problem}; replace it, or set tls_no_sanity_certificate to \
         use it all the same",
        .path.display()
    )]
    Certificate {
        /// Which certificate.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: CertCheckError,
    },
    /// The server's certificate is not signed by the authority whose clients it is for.
    #[error(
        "the server certificate {} is not signed by the authority {}: {reason}; clients that know \
         this authority alone would refuse it",
        .certificate.display(),
        .authority.display()
    )]
    Chain {
        /// The server's.
        certificate: PathBuf,
        /// The authority's.
        authority: PathBuf,
        /// What the check of the chain said.
        reason: String,
    },
    /// The priority string is not understood.
    #[error(transparent)]
    Priority(#[from] PriorityError),
    /// What was loaded cannot be put together.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

/// A client was not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSessionError {
    /// The handshake failed, or what came after it was no TLS.
    #[error("TLS failed: {0}")]
    Protocol(String),
    /// The client's certificate was refused.
    #[error("the client's certificate was refused: {0}")]
    ClientCertificate(ClientCertError),
}

/// Why a client's certificate was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCertError {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// The chain does not lead to an authority that is known here.
    #[error("it is not signed by a known authority")]
    UnknownIssuer,
    /// It was revoked.
    #[error("it has been revoked")]
    Revoked,
    /// The list of what is revoked has expired: nobody knows what was revoked since.
    #[error("the revocation list has expired; get a new one from the authority, and reload")]
    RevocationListExpired,
    /// The chain is not sound in another way.
    #[error("its chain is not sound: {0}")]
    Chain(String),
    /// It does not suit a client.
    #[error("{0}")]
    Unsuitable(CertCheckError),
    /// Its subject is empty or malformed.
    #[error("it names nobody")]
    Nameless,
    /// It is not on the list of those who may.
    #[error("{name:?} is not on the list of allowed names (tls_allowed_dn_list)")]
    NotAllowed {
        /// Its subject, as GnuTLS writes it.
        name: String,
    },
}
