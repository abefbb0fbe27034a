//! What the checks of eventry share.
//!
//! One vocabulary, [`Op`], says everything that can happen to the table: what any thread may call, what
//! the loop does, what the poller reports, that time passes. [`World`] applies an op to the real
//! [`Table`](eventry::table::Table) and to a naive [`Oracle`](oracle::Oracle) in lock-step and compares
//! every answer. The exhaustive [`explorer`](explore), the property tests and the fuzz target differ only
//! in where the ops come from.
//!
//! The table is a plain value behind one lock, so whatever threads do to it is some sequence of ops; what
//! is left (the lock, the sleep and the wake) is the subject of the loom models in `tests/loom.rs`.

mod checks;
pub mod explore;
mod key;
pub mod mirror;
pub mod op;
pub mod oracle;
pub mod situations;
mod violation;
pub mod world;

pub use op::Op;
pub use violation::Violation;
pub use world::World;
