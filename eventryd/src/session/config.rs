//! Configuration of a session.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::Keepalive;
use crate::wire::MAX_FRAME;
use eventry::MonotonicTime;

/// Access of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// All procedures.
    #[default]
    ReadWrite,
    /// Procedures that the table marks as allowed (DM-1103).
    ReadOnly,
}

/// Scheme of authentication (DM-1001).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// None (DM-1002).
    #[default]
    None,
    /// SASL.
    Sasl,
    /// polkit.
    Polkit,
}

impl Auth {
    /// Returns the number of the scheme in the reply to AUTH_LIST.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Auth::None => 0,
            Auth::Sasl => 1,
            Auth::Polkit => 2,
        }
    }
}

/// Limits of one client.
///
/// ```
/// use std::num::NonZeroUsize;
/// use eventryd::session::ClientLimits;
///
/// let one_at_a_time = ClientLimits { max_client_requests: NonZeroUsize::MIN, ..ClientLimits::default() };
/// assert_eq!(ClientLimits::default().max_client_requests.get(), 5);
/// assert_eq!(one_at_a_time.max_client_requests.get(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// The number of calls in progress; the next call waits (DM-806). Default 5.
    pub max_client_requests: NonZeroUsize,
    /// The longest message in bytes before authentication (DM-803). Default 256 KiB.
    pub max_frame_before_auth: u32,
    /// The longest message in bytes afterwards. Default, and at most, [`MAX_FRAME`].
    pub max_frame: u32,
    /// The time to authenticate, including the handshake of the transport; zero for no limit (DM-603). Default 60 s.
    pub auth_timeout: Duration,
    /// The time for the handshake of the transport, within `auth_timeout`; zero for no limit of its own. It begins
    /// when the client has a slot (DM-603). Default 10 s.
    pub handshake_timeout: Duration,
    /// The number of failures to authenticate at which the session ends (DM-1005). Default 3.
    pub max_auth_failures: NonZeroU32,
    /// The number of unsent bytes at which no message is taken from the client. One answer may go beyond it.
    /// Default 256 KiB.
    pub max_output: NonZeroUsize,
    /// The number of unsent bytes, of more than one answer, beyond which the session ends (DM-812). Default
    /// 16 MiB.
    pub max_tx_bytes: NonZeroUsize,
    /// The time for the end of a session: calls end, and answers are read (DM-809). Default 5 s.
    pub max_linger: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        const KIB_256: NonZeroUsize = NonZeroUsize::new(256 << 10).unwrap();
        Self {
            max_client_requests: const { NonZeroUsize::new(5).unwrap() },
            max_frame_before_auth: 256 << 10,
            max_frame: MAX_FRAME,
            auth_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            max_auth_failures: const { NonZeroU32::new(3).unwrap() },
            max_output: KIB_256,
            max_tx_bytes: const { NonZeroUsize::new(16 << 20).unwrap() },
            max_linger: Duration::from_secs(5),
        }
    }
}

/// Configuration of a session. By default the client may make all calls without authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionConfig {
    /// The access that the service grants.
    pub access: Access,
    /// The scheme of authentication.
    pub auth: Auth,
    /// Set if the peer is root on this machine, which needs no permission of polkit (DM-1003).
    pub peer_is_root: bool,
    /// Set if the transport begins with a handshake. The client is anonymous until the handshake is complete.
    pub awaits_handshake: bool,
    /// The time at which the client was accepted.
    pub accepted: MonotonicTime,
    /// The limits, shared by all clients of a daemon.
    pub limits: Arc<ClientLimits>,
    /// The pings.
    pub keepalive: Keepalive,
}
