//! The limits of the number of clients.

use std::fmt;
use std::time::Duration;

/// The usual [`AdmissionLimits::eviction_grace`]: longer than one step of a handshake over a slow network, and short
/// for a waiting user.
pub const EVICTION_GRACE: Duration = Duration::from_millis(500);

/// The numbers of slots, and the time for which a slot is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Slots of all clients.
    pub max_clients: usize,
    /// Slots of anonymous clients, for each [`Scope`](super::Scope); 0 for no limit.
    pub max_anonymous: usize,
    /// The number of clients that may wait for a slot.
    pub max_waiting: usize,
    /// The time without progress after which an unidentified client may be evicted, half of it if the client has sent
    /// nothing; and the time after which a pending client gets the slot of a peer that holds more. Usually
    /// [`EVICTION_GRACE`].
    pub eviction_grace: Duration,
}

/// A limit that is reached, displayed as the setting with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionLimit {
    /// [`AdmissionLimits::max_clients`].
    Clients(usize),
    /// [`AdmissionLimits::max_anonymous`].
    Anonymous(usize),
}

impl fmt::Display for AdmissionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdmissionLimit::Clients(limit) => write!(f, "max_clients ({limit})"),
            AdmissionLimit::Anonymous(limit) => write!(f, "max_anonymous_clients ({limit})"),
        }
    }
}
