//! The input and the output of the admission of clients.

use super::{AdmissionLimit, Peer};

/// A connection that requests a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingClient {
    /// The peer that it counts for.
    pub peer: Peer,
    /// Set if the client has to authenticate, or to complete the handshake of its transport.
    pub anonymous: bool,
}

/// The decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionDecision {
    /// The client has a slot.
    Admit,
    /// The client waits; [`ClientAdmission::next`](super::ClientAdmission::next) may find a slot for it.
    Wait,
    /// Too many clients wait, and the one with this id is to be closed. Its peer has the most waiting clients, and most of
    /// these are anonymous or not, as it is; among them, it is the one that has been silent for longest or, if none is
    /// silent, the one that has sent its first byte last.
    /// If it is not the new client, the new client waits, and [`gone`](super::ClientAdmission::gone) is due for the
    /// rejected one.
    Reject(u64),
}

/// The next step to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionStep {
    /// The waiting client with this id has a slot.
    Admit(u64),
    /// A client is to be closed. It has no slot any more.
    Evict {
        /// The client.
        id: u64,
        /// The limit that is reached.
        limit: AdmissionLimit,
    },
}
