//! The errors that end a daemon.

use crate::auth::AuthError;
use crate::net::tls::TlsConfigError;
use crate::net::{NetError, SocketRole};
use eventry::RunError;
use std::error::Error;
use std::io;

/// An error at the start or in the operation of a daemon. Each has the exit status of libvirt's daemons (DM-106).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Another daemon holds the run directory, or its lock cannot be taken.
    #[error(transparent)]
    PidFile(NetError),
    /// The run directory cannot be created or used.
    #[error(transparent)]
    RunDir(NetError),
    /// The configuration is contradictory or not supported.
    #[error("{0}")]
    Config(String),
    /// The configured authentication is not possible.
    #[error(transparent)]
    Auth(AuthError),
    /// The event loop cannot be created.
    #[error("cannot start the event loop: {0}")]
    EventLoop(#[source] io::Error),
    /// The signals cannot be caught.
    #[error("cannot watch for signals: {0}")]
    Signals(#[source] io::Error),
    /// A listening socket cannot be created.
    #[error(transparent)]
    Network(NetError),
    /// The keys or certificates are not usable.
    #[error(transparent)]
    Tls(TlsConfigError),
    /// A passed socket has a service that is not configured.
    #[error(
        "a socket was passed for {}, but the configuration has no service for it: {}; or disable the \
         socket unit",
        if *.0 == SocketRole::Tls { "TLS" } else { "TCP" },
        if *.0 == SocketRole::Tls {
            "its settings for TLS contradict each other; set `listen_tls = 1` and run `eventryd --check-config` to list the errors"
        } else {
            "set `auth_tcp = \"none\"` if the network is trusted"
        }
    )]
    NotConfigured(SocketRole),
    /// A listening socket cannot be added to the event loop.
    #[error("cannot watch a listening socket: {0}")]
    Enable(String),
    /// The driver cannot be initialised.
    #[error("cannot initialise the driver: {0}")]
    Driver(#[source] Box<dyn Error + Send + Sync>),
    /// The event loop has failed.
    #[error("the event loop has failed: {0}")]
    Loop(#[source] RunError),
}

impl DaemonError {
    /// Returns the exit status of the process.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            DaemonError::PidFile(_) => 1,
            DaemonError::RunDir(_) => 2,
            DaemonError::EventLoop(_) | DaemonError::Loop(_) => 3,
            DaemonError::Signals(_) => 4,
            DaemonError::Network(_)
            | DaemonError::Tls(_)
            | DaemonError::NotConfigured(_)
            | DaemonError::Enable(_) => 6,
            DaemonError::Config(_) | DaemonError::Auth(_) => 7,
            DaemonError::Driver(_) => 11,
        }
    }
}
