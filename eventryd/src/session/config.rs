//! What a session is told when its client is accepted.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::Keepalive;
use crate::wire::MAX_FRAME;
use eventry::Time;

/// What a client may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    #[default]
    ReadWrite,
    /// Only what the table of procedures allows (DM-1103).
    ReadOnly,
}

/// How a client proves who it is (DM-1001).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// It need not: being accepted is enough (DM-1002).
    #[default]
    None,
    /// By SASL.
    Sasl,
    /// By polkit.
    Polkit,
}

impl Auth {
    /// The scheme's number in the reply to AUTH_LIST.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Auth::None => 0,
            Auth::Sasl => 1,
            Auth::Polkit => 2,
        }
    }
}

/// What one client may use.
///
/// ```
/// use std::num::NonZeroUsize;
/// use eventryd::session::Limits;
///
/// let one_at_a_time = Limits { max_client_requests: NonZeroUsize::MIN, ..Limits::default() };
/// assert_eq!(Limits::default().max_client_requests.get(), 5);
/// assert_eq!(one_at_a_time.max_client_requests.get(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in progress; then the next waits (DM-806). Default 5.
    pub max_client_requests: NonZeroUsize,
    /// The longest message in bytes before the client has authenticated (DM-803). Default 256 KiB.
    pub max_frame_before_auth: u32,
    /// The longest message in bytes afterwards. Default, and at most, [`MAX_FRAME`].
    pub max_frame: u32,
    /// How long it may stay anonymous; zero for as long as it likes (DM-603). Default 60 s.
    pub auth_timeout: Duration,
    /// Failures to prove who it is; then the session ends (DM-1005). Default 3.
    pub max_auth_failures: NonZeroU32,
    /// Unsent bytes at which nothing more is taken from the client. One answer may go beyond it. Default
    /// 256 KiB.
    pub max_output: NonZeroUsize,
    /// Unsent bytes that are too many, if they are not those of a single answer: the client is given up
    /// (DM-812). Default 16 MiB.
    pub max_tx_bytes: NonZeroUsize,
    /// How long the end of a session may take: calls that end, answers that are read (DM-809). Default 5 s.
    pub max_linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB_256: NonZeroUsize = NonZeroUsize::new(256 << 10).unwrap();
        Self {
            max_client_requests: const { NonZeroUsize::new(5).unwrap() },
            max_frame_before_auth: 256 << 10,
            max_frame: MAX_FRAME,
            auth_timeout: Duration::from_secs(60),
            max_auth_failures: const { NonZeroU32::new(3).unwrap() },
            max_output: KIB_256,
            max_tx_bytes: const { NonZeroUsize::new(16 << 20).unwrap() },
            max_linger: Duration::from_secs(5),
        }
    }
}

/// What a session is told when its client is accepted. By default it may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionConfig {
    /// What the service that accepted the client allows.
    pub access: Access,
    /// How the client has to authenticate.
    pub auth: Auth,
    /// Whether the peer is the superuser of this machine, whom polkit lets pass without being asked
    /// (DM-1003).
    pub peer_is_root: bool,
    /// Whether its transport begins with a handshake, before whose end nobody knows who it is.
    pub awaits_handshake: bool,
    /// When it was accepted.
    pub accepted: Time,
    /// What it may use; shared, as all clients of a daemon have the same.
    pub limits: Arc<Limits>,
    /// When it is pinged.
    pub keepalive: Keepalive,
}
