//! The daemon: services and clients on one event loop.
//!
//! This is the only place where the loop and the protocol meet. [`run`] is the start-up order of libvirt's
//! daemon as one function; a service is a set of listening sockets with what their clients may do, a client a
//! connection with its [`Session`](crate::session::Session). Every socket is a handle of the one registry,
//! and everything that happens to it happens in that handle's callback, on the loop's thread.

mod client;
mod config;
mod control;
mod deadlines;
mod dispatch;
mod error;
mod gate;
mod hub;
mod idle;
mod jobs;
mod service;
mod shutdown;
mod signals;
mod startup;

pub use crate::worker_pool::WorkerLimits;
pub use config::{Config, TcpService, TlsService};
pub use control::Control;
pub use dispatch::{Dispatcher, Outcome, Task};
pub use error::DaemonError;
pub use shutdown::Shutdown;
pub use signals::{Process, Signals};
pub use startup::{Endpoint, Ready, run, run_process};
