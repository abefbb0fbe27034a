//! Errors of the TLS configuration and of TLS sessions.

use super::cert_check::CertCheckError;
use super::key_mode::access_text;
use super::priority::PriorityError;
use std::io;
use std::path::PathBuf;

/// A configuration with which TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error(
        "cannot read the {what} {}: {source}; {}",
        .path.display(),
        read_remedy(source.kind(), what)
    )]
    Read {
        /// The expected content, such as "private key".
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// All users can read or replace a private key.
    #[error(
        "the private key {} has mode {mode:04o}: all users can {}; run `chmod 600 {}`, or set \
         tls_no_verify_key_mode to serve it nevertheless",
        .path.display(),
        access_text(*.mode),
        .path.display()
    )]
    KeyMode {
        /// Path of the file.
        path: PathBuf,
        /// Permission bits of the file.
        mode: u32,
    },
    /// All users can replace a private key, because of a directory on its path.
    #[error(
        "the private key {} can be replaced by all users: {reason}; {remedy}, or set \
         tls_no_verify_key_mode to serve it nevertheless",
        .path.display()
    )]
    KeyPath {
        /// Path of the file.
        path: PathBuf,
        /// Cause, with the directory and its mode.
        reason: String,
        /// Command that corrects the mode.
        remedy: String,
    },
    /// A file lacks the expected content.
    #[error("no usable {what} in {}: {reason}", .path.display())]
    Content {
        /// The expected content.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        reason: String,
    },
    /// A certificate does not suit its role.
    #[error(
        "the {what} {} is unsuitable: {problem}; replace it, or set tls_no_sanity_certificate to \
         skip this check",
        .path.display()
    )]
    Certificate {
        /// The certificate's role in the configuration.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        problem: CertCheckError,
    },
    /// The server's certificate is not signed by the configured CA.
    #[error(
        "the server certificate {} cannot be verified with the CA {} in `ca_file`: {reason}; {remedy}",
        .certificate.display(),
        .authority.display()
    )]
    Chain {
        /// Path of the server's certificate.
        certificate: PathBuf,
        /// Path of the CA's certificate.
        authority: PathBuf,
        /// Cause found by the verification of the chain.
        reason: String,
        /// Next step of the operator.
        remedy: &'static str,
    },
    /// A CA has no revocation list although the settings require one.
    #[error(
        "tls_require_current_crl is set, but {reason}; install the list that the CA issues, or set \
         tls_require_current_crl = 0"
    )]
    NoRevocationList {
        /// Cause, with the path or the CA.
        reason: String,
    },
    /// The priority string is not supported.
    #[error(transparent)]
    Priority(#[from] PriorityError),
    /// rustls rejects the configuration.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

impl TlsConfigError {
    /// Returns the settings that may cause the error, the likeliest first.
    #[must_use]
    pub fn settings(&self) -> &'static [&'static str] {
        let what = match self {
            TlsConfigError::Read { what, .. }
            | TlsConfigError::Content { what, .. }
            | TlsConfigError::Certificate { what, .. } => *what,
            TlsConfigError::KeyMode { .. } | TlsConfigError::KeyPath { .. } => "private key",
            TlsConfigError::NoRevocationList { .. } => {
                return &["crl_file", "tls_require_current_crl", "listen_tls"];
            }
            TlsConfigError::Priority(_) => return &["tls_priority"],
            _ => "server certificate",
        };
        match what {
            "CA certificate" => &["ca_file", "listen_tls"],
            "certificate revocation list" => &["crl_file", "listen_tls"],
            "private key" => &["key_files", "key_file", "listen_tls"],
            _ => &["cert_files", "cert_file", "listen_tls"],
        }
    }
}

/// Returns what to do about a file that cannot be read.
fn read_remedy(error: io::ErrorKind, what: &str) -> String {
    let setting = match what {
        "CA certificate" => "ca_file",
        "certificate revocation list" => "crl_file",
        "private key" => "key_file (or key_files)",
        _ => "cert_file (or cert_files)",
    };
    match error {
        io::ErrorKind::NotFound => format!("create it, or set {setting}"),
        io::ErrorKind::PermissionDenied => {
            format!("make it readable for the daemon, or set {setting}")
        }
        _ => format!("set {setting} to another file"),
    }
}

/// A failure of a TLS session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSessionError {
    /// The handshake failed, or later bytes violate the protocol.
    #[error("TLS failed: {0}")]
    Protocol(String),
    /// The client's certificate was rejected.
    #[error("client certificate {}rejected: {error}", quoted(.name.as_deref()))]
    ClientCertificate {
        /// The subject in the form of GnuTLS, unless it is unknown or part of `error`.
        name: Option<String>,
        /// Cause.
        error: ClientCertError,
    },
}

/// Returns the name in quotes and a space, in the form that `tls_allowed_dn_list` requires.
pub(super) fn quoted(name: Option<&str>) -> String {
    name.map(|name| format!("\"{name}\" ")).unwrap_or_default()
}

/// The reason why a client's certificate was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCertError {
    /// The client sent no certificate.
    #[error("the client sent none")]
    Missing,
    /// The chain does not lead to a configured CA.
    #[error("it is not signed by a configured CA")]
    UnknownIssuer,
    /// The CA has revoked the certificate.
    #[error("it has been revoked")]
    Revoked,
    /// The revocation list has expired, so later revocations are unknown.
    #[error("the revocation list {lists} has expired; install a new one from the CA and reload")]
    RevocationListExpired {
        /// The names and the path of the expired lists.
        lists: String,
    },
    /// The revocation list has another signature than that of its CA.
    #[error("the revocation list is not signed by its CA; install the one of the CA and reload")]
    RevocationListSignature,
    /// The chain is invalid for another reason.
    #[error("its chain is invalid: {0}")]
    Chain(String),
    /// The certificate does not suit a client.
    #[error("{0}")]
    Unsuitable(CertCheckError),
    /// The subject is empty or malformed.
    #[error("its subject is empty or malformed")]
    Nameless,
    /// The subject matches no pattern of `tls_allowed_dn_list`.
    #[error("subject \"{name}\" is not in tls_allowed_dn_list")]
    NotAllowed {
        /// The subject, in the form of GnuTLS.
        name: String,
    },
}
