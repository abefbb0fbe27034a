//! TLS as libvirt's clients expect it (DM-1201…1214, DM-813).
//!
//! [`TlsContext`] holds what all connections share: keys, certificates and the rules for clients.
//! [`TlsSession`] is one connection without I/O. rustls implements the protocol and rustls-webpki
//! verifies certificate chains. This module adds the parts that are specific to libvirt: the check
//! of the client after the handshake and its confirmation in one byte, the text form of names, and
//! the checks of certificates that libvirt performs.

mod cert_check;
mod cert_resolver;
mod certificate;
mod context;
mod date;
mod der;
mod dn;
mod error;
mod expiry;
mod files;
mod key;
mod key_mode;
mod priority;
mod provider;
mod revocation;
mod session;
mod verify;

use rustls::pki_types::UnixTime;
use std::time::Duration;

pub use cert_check::{CertCheckError, TlsSide};
pub use context::{TlsContext, TlsSettings};
pub use dn::distinguished_name;
pub use error::{ClientCertError, TlsConfigError, TlsSessionError};
pub use expiry::{ExpiryCheck, ExpiryWatch};
pub use files::{ServerFiles, TlsFiles};
pub use priority::{PriorityError, TlsVersions, system_policy};
pub use session::{TlsReadOutcome, TlsSession};
pub use verify::TlsPeer;

/// Returns the time since 1970 by the system's clock, for comparison with the dates of
/// certificates.
#[must_use]
pub fn wall_clock() -> Duration {
    Duration::from_secs(UnixTime::now().as_secs())
}
