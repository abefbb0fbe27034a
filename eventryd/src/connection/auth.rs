//! Authentication state of one client.

use crate::auth::{Identity, SaslExchange};

/// Authentication state of one client. The connection keeps it for its owner, which decides.
#[derive(Debug, Default)]
pub struct ClientAuth {
    /// The identity of the client, as far as it is known.
    pub identity: Identity,
    /// The SASL exchange in progress.
    pub exchange: SaslExchange,
}
