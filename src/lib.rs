//! A property-tested, formally-checked event registry, and the listener daemon that lives on it.

pub mod core;
mod event_loop;
mod events;
mod id;
#[cfg(eventry_verification)]
pub mod planted;
#[cfg(not(eventry_verification))]
mod planted;
pub mod poller;
pub mod registry;
mod sync;
mod time;

#[cfg(feature = "daemon")]
pub mod driver;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod server;
#[cfg(feature = "daemon")]
pub mod session;
#[cfg(feature = "daemon")]
pub mod wire;

pub use event_loop::{CallbackPanic, EventLoop, PanickedCallback, RunError, Stopper};
pub use events::Events;
pub use id::{HandleId, TimeoutId, Token};
pub use registry::Registry;
pub use time::Time;
