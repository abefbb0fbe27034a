//! Listening sockets, their directory, accepted connections, and TLS.
//!
//! Listeners are created bound and listening; the mode of a Unix socket is set before its path
//! appears. Connections wait in the kernel's queue until the server enables the service and accepts
//! them (DM-501).

mod accept;
mod accounts;
mod activation;
mod error;
mod group;
mod listener;
mod peer;
mod pid_file;
mod run_dir;
mod socket;
mod tcp;
pub mod tls;
mod unix;

pub use accounts::AccountNames;
pub use activation::{
    ActivationEnv, SocketRole, activation_roles, parse_activation_env, take_activated_listeners,
};
pub use error::{ActivationError, NetError};
pub use group::{check_group, group_id};
pub use listener::{ListenAddress, Listener};
pub use peer::{polkit_subject, process_start_time};
pub use pid_file::PidFile;
pub use run_dir::{RunDir, default_run_dir};
pub use socket::{Socket, TransportKind};
pub use tcp::{BoundSockets, TcpListener};
pub use unix::UnixListener;
