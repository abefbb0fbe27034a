//! The limits of the number of clients.

use super::Scope;
use std::fmt;
use std::time::Duration;

/// The usual [`AdmissionLimits::eviction_grace`]: longer than one step of a handshake over a slow network, and short
/// for a waiting user.
pub const EVICTION_GRACE: Duration = Duration::from_millis(500);

/// The numbers of slots, and the time for which a slot is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Slots of all clients, including the [reserved](Self::reserved) ones. Never more clients have a slot.
    pub max_clients: usize,
    /// Set if network clients can connect, so that slots are reserved for them.
    pub serves_networks: bool,
    /// Slots of anonymous clients, for each [`Scope`]; 0 for no limit.
    pub max_anonymous: usize,
    /// The number of clients that may wait for a slot.
    pub max_waiting: usize,
    /// The time without progress after which an unidentified client may be evicted, half of it if the client has sent
    /// nothing; and the time after which a pending client gets the slot of a peer that holds more. Usually
    /// [`EVICTION_GRACE`].
    pub eviction_grace: Duration,
}

/// The smallest [`AdmissionLimits::max_clients`] of which slots are reserved.
const MIN_CLIENTS_FOR_RESERVE: usize = 8;

/// One of this number of slots is reserved for each scope.
const RESERVED_PART: usize = 32;

impl AdmissionLimits {
    /// Returns the number of slots that are reserved for peers of the scope with no or few slots: a 32nd of
    /// `max_clients`, at least one; none if `max_clients` is below 8, or if there is no service for the scope.
    ///
    /// ```
    /// use eventryd::admission::{AdmissionLimits, EVICTION_GRACE, Scope};
    ///
    /// let limits = AdmissionLimits {
    ///     max_clients: 64,
    ///     serves_networks: false,
    ///     max_anonymous: 20,
    ///     max_waiting: 9,
    ///     eviction_grace: EVICTION_GRACE,
    /// };
    /// assert_eq!(limits.reserved(Scope::Local), 2);
    /// assert_eq!(limits.reserved(Scope::Network), 0);
    /// ```
    #[must_use]
    pub fn reserved(&self, scope: Scope) -> usize {
        let is_served = scope == Scope::Local || self.serves_networks;
        if is_served && self.max_clients >= MIN_CLIENTS_FOR_RESERVE {
            (self.max_clients / RESERVED_PART).max(1)
        } else {
            0
        }
    }

    /// Returns the number of slots for all peers: those that are not reserved.
    #[must_use]
    pub fn unreserved(&self) -> usize {
        self.max_clients - self.reserved(Scope::Local) - self.reserved(Scope::Network)
    }
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

/// The reason why a client waits for a slot, displayed as the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// A limit is reached.
    Limit(AdmissionLimit),
    /// The remaining slots are reserved for peers with few clients.
    Reserved {
        /// [`AdmissionLimits::max_clients`].
        max_clients: usize,
        /// The [reserved](AdmissionLimits::reserved) slots of all scopes.
        reserved: usize,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Limit(limit) => write!(f, "{limit} reached"),
            Shortage::Reserved {
                max_clients,
                reserved,
            } => write!(
                f,
                "max_clients ({max_clients}) reached but for the slots that are reserved for users and addresses with few \
                 clients ({reserved}); raise max_clients if one user or address needs more"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_displayed_as_the_setting_with_its_value() {
        assert_eq!(AdmissionLimit::Clients(3).to_string(), "max_clients (3)");
        let anonymous = AdmissionLimit::Anonymous(4).to_string();
        assert_eq!(anonymous, "max_anonymous_clients (4)");
    }

    #[test]
    fn a_32nd_is_reserved_from_eight_clients_on() {
        let mut limits = AdmissionLimits {
            max_clients: 0,
            serves_networks: true,
            max_anonymous: 0,
            max_waiting: 0,
            eviction_grace: EVICTION_GRACE,
        };
        for (max_clients, part) in [(1, 0), (7, 0), (8, 1), (63, 1), (64, 2), (5_000, 156)] {
            limits.max_clients = max_clients;
            for serves_networks in [true, false] {
                limits.serves_networks = serves_networks;
                let network = if serves_networks { part } else { 0 };
                let reserved = [Scope::Local, Scope::Network].map(|scope| limits.reserved(scope));
                assert_eq!(reserved, [part, network]);
                assert_eq!(limits.unreserved(), max_clients - part - network);
            }
        }
    }
}
