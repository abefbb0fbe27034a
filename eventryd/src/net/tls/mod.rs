//! TLS as libvirt's clients speak it (DM-1201…1210, DM-813).
//!
//! [`TlsContext`] is what all connections share: keys, certificates, and who is let in. [`TlsSession`] is
//! one connection as a pure value: bytes in, bytes and plaintext out. The protocol is rustls's and the chains are
//! rustls-webpki's; here is what libvirt has of its own: that a client is judged after the handshake and told by
//! a single byte, the form of names, the checks of certificates that GnuTLS users are used to.

mod certificate;
mod choice;
mod context;
mod der;
mod dn;
mod error;
mod files;
mod key;
mod priority;
mod sanity;
mod session;
mod verify;

use rustls::pki_types::UnixTime;
use std::time::Duration;

pub use context::{TlsContext, TlsSettings};
pub use dn::distinguished_name;
pub use error::{PeerRefusal, TlsError, TlsFailure};
pub use files::{ServerFiles, TlsFiles};
pub use priority::{TlsVersions, UnknownPriority};
pub use sanity::{Party, Unsuited};
pub use session::{Received, TlsSession};
pub use verify::TlsPeer;

/// The time since 1970, by the clock of the system: dates of certificates are compared with it.
#[must_use]
pub fn wall_clock() -> Duration {
    Duration::from_secs(UnixTime::now().as_secs())
}
