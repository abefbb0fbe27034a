//! Admission control: decides which connections are accepted, which wait, and which are evicted
//! (`docs/admission.md`).
//!
//! [`Admission`] is a pure value. The server reports connections, their progress and their end together with the
//! time, and applies the decisions. This module reads no clock, takes no lock and uses no socket.

mod clients;
mod decision;
mod lanes;
mod limits;
mod order;
mod peer;
mod peer_load;
mod reserve;
mod services;

pub use clients::ClientAdmission;
pub use decision::{AdmissionDecision, AdmissionStep, PendingClient};
pub use limits::{AdmissionLimit, AdmissionLimits, EVICTION_GRACE, Shortage};
pub use peer::{Peer, Scope};
pub use services::{ACCEPT_BUDGET, Admission};
