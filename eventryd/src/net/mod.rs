//! Listening sockets and where they live, the connections they accept, and TLS.
//!
//! A listener made here is bound and listening, with its mode set before its name can be reached, but
//! nobody accepts on it: that begins when the server enables the service it belongs to (DM-501).

mod activation;
mod error;
mod group;
mod instance;
mod listener;
mod names;
mod peer;
mod run_dir;
mod socket;
mod tcp;
pub mod tls;
mod unix;

pub use activation::{
    ActivationError, Environment, Purpose, activated_listeners, activation, passed_purposes,
};
pub use error::NetError;
pub use group::group_number;
pub use instance::Instance;
pub use listener::{Address, Listener};
pub use names::LocalNames;
pub use peer::{start_time, subject};
pub use run_dir::{RunDir, default_run_dir};
pub use socket::{Socket, TransportKind};
pub use tcp::{Bound, TcpSocket};
pub use unix::UnixSocket;
