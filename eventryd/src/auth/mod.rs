//! Who a client is, and how it proves it.
//!
//! SASL with SCRAM-SHA-256 (RFC 5802, RFC 7677) against a file of passwords, and polkit. The exchange, the
//! file's format and the patterns of user names are pure: bytes and random numbers come in, bytes and a
//! verdict come out. What reads files or starts programs is in `file` and `pkcheck`, and is not called on
//! the thread of the event loop but at the start.
//!
//! Nobody learns from an exchange which users there are: to an unknown one a salt is shown that belongs to
//! its name and stays the same, the same work is done, and it fails in the same way (DM-1004).
//!
//! It deliberately knows nothing of messages and connections; `session` knows whose turn it is, and
//! `server` brings the two together.

mod error;
mod file;
mod glob;
mod identity;
mod passwords;
mod pkcheck;
mod polkit;
mod sasl;
mod scram;

pub use error::{AuthError, SaslError};
pub use file::{PasswordChange, change_password, default_password_file, read_passwords};
pub use glob::matches_glob;
pub use identity::{AuthenticatedNames, Identity, UnixPeer};
pub use passwords::{PasswordEntryError, Passwords};
pub use pkcheck::PkCheck;
pub use polkit::{Action, Authorization, Authorizer, Subject};
pub use sasl::{MECHANISMS, Sasl, SaslConfig, SaslExchange, SaslProgress};
pub use scram::{DEFAULT_ITERATIONS, Nonce, ScramServer, Verifier, VerifierError};
