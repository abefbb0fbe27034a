//! Admission control: decides which connections are accepted, which wait, and which are evicted
//! (`docs/admission.md`).
//!
//! [`Admission`] is a pure value. The server reports connections, their progress and their end together with the
//! time, and executes the decisions; nothing here reads a clock, takes a lock or touches a socket.

mod clients;
mod limits;
mod peer;
mod peer_load;
mod services;

pub use clients::{AdmissionDecision, AdmissionStep, ClientAdmission, PendingClient};
pub use limits::{AdmissionLimit, AdmissionLimits, EVICTION_GRACE};
pub use peer::{Peer, Scope};
pub use services::{ACCEPT_BUDGET, Admission};
