//! Server side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
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

use super::passwords::UserLookup;
use super::verifier::to_base64;
use super::{Passwords, SaslError};
use message::{ClientFinal, ClientFirst};
use std::fmt;

/// Server part of the nonce, which is appended to the client's part: 144 random bits in base64.
#[derive(Clone)]
pub struct Nonce(String);

impl Nonce {
    /// Encodes random bytes as a nonce. The bytes must be unpredictable and unique.
    #[must_use]
    pub fn from_random(bytes: [u8; 18]) -> Nonce {
        Nonce(to_base64(&bytes))
    }
}

/// Exchange that waits for the client's proof.
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
    /// GS2 header of the first message, which the final message must repeat.
    gs2_header: String,
    nonce: String,
    /// Messages so far, without the header: the part of `AuthMessage` (RFC 5802, section 3) that
    /// precedes the client's final message.
    transcript: String,
}

impl ScramServer {
    /// Processes the client's first message. Returns the exchange and the challenge to send.
    ///
    /// # Errors
    ///
    /// [`SaslError`] if the message is malformed, requires channel binding, or has an authorization
    /// identity other than the user. An unknown user is no error here: [`finish`](Self::finish)
    /// fails.
    pub fn start(
        message: &[u8],
        passwords: &Passwords,
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
            to_base64(lookup.verifier.salt()),
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

    /// Processes the client's final message. Returns the authenticated user name and the last
    /// message to send.
    ///
    /// # Errors
    ///
    /// [`SaslError`] if the message is malformed, belongs to another exchange, or has a wrong
    /// proof.
    pub fn finish(self, message: &[u8]) -> Result<(String, Vec<u8>), SaslError> {
        let last = ClientFinal::parse(message)?;
        if last.channel_binding != self.gs2_header.as_bytes() {
            return Err(SaslError::ChannelBinding);
        }
        if last.nonce != self.nonce {
            return Err(SaslError::NonceMismatch);
        }
        let transcript = format!("{},{}", self.transcript, last.without_proof);
        // The proof is verified for unknown users too, so that the time is the same.
        let signature = self
            .lookup
            .verifier
            .verify(transcript.as_bytes(), &last.proof);
        match signature {
            Some(signature) if self.lookup.is_known => {
                let answer = format!("v={}", to_base64(&signature));
                Ok((self.user, answer.into_bytes()))
            }
            _ => Err(SaslError::InvalidProof { user: self.user }),
        }
    }

    /// Returns the user name that the client claims.
    #[must_use]
    pub fn claimed_user(&self) -> &str {
        &self.user
    }
}

/// Omits the messages and keys, which allow guessing the password offline.
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
