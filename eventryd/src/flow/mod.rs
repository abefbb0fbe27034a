//! The decisions of a server, without a socket, a clock or a thread: who is accepted, what moves when, and
//! whose time has come.
//!
//! What a daemon does with its descriptors, timeouts and threads follows from these values. They are given
//! what happened and return what to do, so a test that lives in virtual time drives what the daemon runs.

mod admission;
mod agenda;
mod exchange;
mod places;
mod standing;

pub use admission::{ACCEPT_BUDGET, Admission, Reach};
pub use agenda::Agenda;
pub use exchange::{Arrival, End, Link, authenticate, exchange, interest, next_call, on_time};
pub use places::{Newcomer, PLACE_PATIENCE, Peer, PlaceLimits, Places, Step, Verdict};
pub use standing::{News, Standing};
