//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
//!
//! ```text
//!   client                                   server
//!     n,,n=user,r=NONCE           ──►          [`ScramServer::start`]
//!                                 ◄──          r=NONCEMORE,s=SALT,i=COUNT
//!     c=biws,r=NONCEMORE,p=PROOF  ──►          [`ScramServer::finish`]
//!                                 ◄──          v=SIGNATURE
//! ```

mod message;
#[cfg(test)]
mod tests;
mod verifier;

use super::SaslError;
use message::{ClientFinal, ClientFirst};
use std::fmt;

pub(super) use message::{from_base64, to_base64};
pub use verifier::{DEFAULT_ITERATIONS, Verifier, VerifierError};
pub(super) use verifier::{KEY_LEN, hmac};

/// What the server adds to the client's nonce: 144 random bits as text.
#[derive(Clone)]
pub struct Nonce(String);

impl Nonce {
    /// A nonce of these random bytes; nobody may be able to guess them, and none may come twice.
    #[must_use]
    pub fn from_random(bytes: [u8; 18]) -> Nonce {
        Nonce(message::to_base64(&bytes))
    }
}

/// What is known of a user whose name a client sends.
pub(super) struct UserLookup {
    pub(super) verifier: Verifier,
    /// Whether there is such a user; if not, the verifier is made up.
    pub(super) is_known: bool,
}

/// An exchange that waits for the client's proof.
///
/// ```
/// use eventryd::auth::{Nonce, Passwords, ScramServer, Verifier};
///
/// let mut passwords = Passwords::new([7; 32]);
/// passwords.insert("fred", Verifier::derive(b"pencil", &[1; 16], 4096.try_into()?))?;
/// let nonce = Nonce::from_random([2; 18]);
/// let (exchange, challenge) = ScramServer::start(b"n,,n=fred,r=abc", &passwords, &nonce)?;
/// assert!(challenge.starts_with(b"r=abc"));
/// assert!(exchange.finish(b"c=biws,r=abc,p=AAAA").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ScramServer {
    user: String,
    lookup: UserLookup,
    /// The channel binding that the client has to repeat.
    gs2_header: String,
    nonce: String,
    /// The messages so far, as the proof covers them.
    transcript: String,
}

impl ScramServer {
    /// Takes the client's first message; returns what to answer.
    ///
    /// # Errors
    /// [`SaslError`] if the message is not one, asks for channel binding, or for somebody else's rights.
    /// Not if the user is unknown: that turns out at the end.
    pub fn start(
        message: &[u8],
        passwords: &super::Passwords,
        nonce: &Nonce,
    ) -> Result<(ScramServer, Vec<u8>), SaslError> {
        let first = ClientFirst::parse(message)?;
        if first
            .authzid
            .as_ref()
            .is_some_and(|other| *other != first.user)
        {
            return Err(SaslError::AuthzidMismatch);
        }
        let lookup = passwords.lookup(&first.user);
        let nonce = format!("{}{}", first.nonce, nonce.0);
        let challenge = format!(
            "r={nonce},s={},i={}",
            message::to_base64(lookup.verifier.salt()),
            lookup.verifier.iterations()
        );
        let exchange = ScramServer {
            transcript: format!("{},{challenge}", first.bare),
            gs2_header: first.gs2_header.to_owned(),
            user: first.user,
            lookup,
            nonce,
        };
        Ok((exchange, challenge.into_bytes()))
    }

    /// Takes the client's proof; returns the user it has proved to be, and what to answer.
    ///
    /// # Errors
    /// [`SaslError`] if the message is not one or proves nothing.
    pub fn finish(self, message: &[u8]) -> Result<(String, Vec<u8>), SaslError> {
        let last = ClientFinal::parse(message)?;
        if last.channel_binding != self.gs2_header.as_bytes() {
            return Err(SaslError::ChannelBinding);
        }
        if last.nonce != self.nonce {
            return Err(SaslError::NonceMismatch);
        }
        let transcript = format!("{},{}", self.transcript, last.without_proof);
        // Both in any case, so that neither the time nor the outcome tells whether the user is_known.
        let signature = self
            .lookup
            .verifier
            .verify(transcript.as_bytes(), &last.proof);
        match signature {
            Some(signature) if self.lookup.is_known => {
                let answer = format!("v={}", message::to_base64(&signature));
                Ok((self.user, answer.into_bytes()))
            }
            _ => Err(SaslError::InvalidProof { user: self.user }),
        }
    }

    /// The user that the client says it is.
    #[must_use]
    pub fn claimed_user(&self) -> &str {
        &self.user
    }
}

/// Without what would help to guess the password.
impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}
