//! Why a driver does not do what it was asked.

use thiserror::Error;
use uuid::Uuid;

/// Why a driver does not do what it was asked. The text is what the client sees.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// No driver serves the URI.
    #[error("no connection driver available for {uri}")]
    NoConnection {
        /// The URI as the client named it.
        uri: String,
    },
    /// A domain was looked for and not found.
    #[error("Domain not found")]
    NoDomain,
    /// A domain that a client has found before is no more.
    #[error("Domain not found: no domain with matching uuid '{uuid}' ({name})")]
    DomainGone {
        /// Its UUID.
        uuid: Uuid,
        /// Its name, as the client knows it.
        name: String,
    },
    /// Flags without a meaning.
    #[error("unsupported flags (0x{flags:x}) in function {function}")]
    UnsupportedFlags {
        /// The flags that are not known, without those that are.
        flags: u32,
        /// The function that was given them.
        function: &'static str,
    },
    /// The domain's state does not allow it, and libvirt has no better error for it.
    #[error("internal error: {0}")]
    Internal(String),
    /// The domain's state does not allow it.
    #[error("Requested operation is not valid: {0}")]
    InvalidOperation(&'static str),
}
