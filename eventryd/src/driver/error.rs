//! The errors of drivers.

use thiserror::Error;
use uuid::Uuid;

/// The reason why a driver rejects a request. The client gets the text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// No driver serves the URI.
    #[error("no connection driver available for {uri}")]
    NoConnection {
        /// The URI given by the client.
        uri: String,
    },
    /// A lookup found no domain.
    #[error("Domain not found")]
    NoDomain,
    /// A domain that the client refers to no longer exists.
    #[error("Domain not found: no domain with matching uuid '{uuid}' ({name})")]
    DomainGone {
        /// UUID of the domain.
        uuid: Uuid,
        /// Name of the domain as given by the client.
        name: String,
    },
    /// A request has undefined flags.
    #[error("unsupported flags (0x{flags:x}) in function {function}")]
    UnsupportedFlags {
        /// The undefined flags only.
        flags: u32,
        /// Name of the driver function.
        function: &'static str,
    },
    /// The domain's state does not allow the operation; libvirt uses the generic error here.
    #[error("internal error: {0}")]
    Internal(String),
    /// The domain's state does not allow the operation.
    #[error("Requested operation is not valid: {0}")]
    InvalidOperation(&'static str),
}
