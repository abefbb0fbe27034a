//! The daemon: services and clients on one event loop.
//!
//! This is the only module that uses both the event loop and the protocol. [`run`] is the start-up order of
//! libvirt's daemon as one function. A service is a set of listening sockets with a policy for its clients; a
//! client is a [`Connection`](crate::connection::Connection) with its calls. Only the loop's thread accesses
//! a client. Workers and polkit threads put results into one queue, which wakes the loop.

mod accept;
mod admit;
mod authenticator;
mod check;
mod client;
mod client_table;
mod completions;
mod config;
mod control;
mod credentials;
mod deadline_queue;
mod error;
mod handle_call;
mod idle;
mod lifecycle;
mod limits;
mod offload;
mod polkit;
mod polkit_requests;
mod reload;
mod service;
mod shutdown;
mod signals;
mod startup;
mod state;
mod tls_expiry;

pub use crate::worker_pool::WorkerLimits;
pub use check::{ConfigCheck, check};
pub use client_table::ClientCounts;
pub use config::{Config, TcpService, TlsService};
pub use control::Control;
pub use credentials::Credentials;
pub use deadline_queue::DeadlineQueue;
pub use error::DaemonError;
pub use handle_call::{CallHandler, CallOutcome, PreparedCall};
pub use reload::PreparedConfig;
pub use service::Endpoint;
pub use shutdown::Shutdown;
pub use signals::{ProcessHooks, Signals};
pub use startup::{Ready, run, run_process};
