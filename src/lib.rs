//! A property-tested, formally-checked event registry, and the listener daemon that lives on it.

#[cfg(feature = "daemon")]
mod sync;
pub mod time;

#[cfg(feature = "daemon")]
pub mod driver;
#[cfg(feature = "daemon")]
pub mod server;
#[cfg(feature = "daemon")]
pub mod session;
#[cfg(feature = "daemon")]
pub mod wire;

pub use time::Time;
