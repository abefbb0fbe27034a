//! Authentication of clients: SASL with SCRAM-SHA-256, and polkit.
//!
//! The SCRAM exchange (RFC 5802, RFC 7677), the format of the password file and the patterns of
//! user names are pure: they take bytes and random numbers and return bytes and a result. Only
//! `file` and `pkcheck` do I/O. The password file is read at start and on SIGHUP; `pkcheck` blocks
//! until the user has answered, so it must not run on the thread of the event loop.
//!
//! An exchange does not reveal which users exist (DM-1004). For an unknown user the server sends a
//! salt that it derives from the name, does the same work, and fails with the same error.
//!
//! The module does not depend on messages or connections: `session` decides when a step of the
//! exchange is due, and `server` calls this module.

#[cfg(test)]
mod bounds_tests;
mod cancellation;
mod error;
mod file;
mod glob;
mod identity;
mod passwords;
mod pkcheck;
mod polkit;
mod sasl;
mod scram;
mod verifier;

pub use cancellation::Cancellation;
pub use error::{AuthError, PasswordEntryError, SaslError};
pub use file::{PasswordChange, change_password, default_password_file, read_passwords};
pub use glob::matches_glob;
pub use identity::{AuthenticatedNames, Identity, UnixPeer};
pub use passwords::Passwords;
pub use pkcheck::PkCheck;
pub use polkit::{Authorization, Authorizer, PolkitAction, Subject};
pub use sasl::{MECHANISMS, Sasl, SaslConfig, SaslExchange, SaslProgress};
pub use scram::{Nonce, ScramServer};
pub use verifier::{DEFAULT_ITERATIONS, Verifier, VerifierError};
