//! Shared code of the checks of eventry's table.
//!
//! An [`Op`] is one operation on the table or on its surroundings: a call of any thread, a step of the
//! loop, a report of the poller, or the passing of time. [`World`] applies an op to the real
//! [`Table`](eventry::table::Table) and to a naive [`Oracle`](oracle::Oracle), and compares every
//! answer; it also [compares](refinement) each op with the relation that is proved for any number of entries. The
//! exhaustive [search](explore), the property tests and the fuzz target differ only in the
//! source of the ops.
//!
//! The table is a plain value behind one lock, so the calls of several threads are some sequence of ops.
//! The lock, the sleep and the wake are checked by the loom models in `tests/loom`.

#[cfg(feature = "arbitrary")]
pub mod bytes;
mod calls;
mod checks;
pub mod explore;
mod key;
pub mod mirror;
pub mod op;
pub mod oracle;
pub mod refinement;
pub mod situations;
mod violation;
mod wait;
pub mod world;

pub use op::Op;
pub use violation::Violation;
pub use world::World;
