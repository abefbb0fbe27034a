//! What a server keeps of a password, and how it checks a proof with it.

use super::message::{from_base64, to_base64};
use ring::{digest, pbkdf2};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// The length of a key and of a proof in bytes.
pub(in crate::auth) const KEY_LEN: usize = 32;

/// How often a password is hashed if nothing else is said. The client does the work at each log-in, and so
/// must whoever tries passwords on a stolen file. Cyrus SASL accepts up to 65,536.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(16_384).unwrap();

/// The fewest that RFC 7677 allows, and more than anybody waits for.
const ITERATION_RANGE: std::ops::RangeInclusive<u32> = 4_096..=10_000_000;
const SALT_LEN_RANGE: std::ops::RangeInclusive<usize> = 8..=128;

/// What stands before the fields, as in other servers' files.
const PREFIX: &str = "SCRAM-SHA-256$";

/// What a server keeps of a password: enough to check a proof, not enough to make one.
///
/// As text it is `SCRAM-SHA-256$COUNT:SALT$STOREDKEY:SERVERKEY` with everything but the count in base64,
/// which is how PostgreSQL writes it.
///
/// ```
/// use eventryd::auth::{DEFAULT_ITERATIONS, Verifier};
///
/// let verifier = Verifier::derive(b"pencil", &[1; 16], DEFAULT_ITERATIONS);
/// let text = verifier.to_string();
/// assert!(text.starts_with("SCRAM-SHA-256$16384:"));
/// assert_eq!(text.parse(), Ok(verifier));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; KEY_LEN],
    server_key: [u8; KEY_LEN],
}

/// A text is not a [`Verifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected SCRAM-SHA-256$COUNT:SALT$STOREDKEY:SERVERKEY with a count from 4096 and a salt from 8 bytes; \
     `eventryd passwd` writes it"
)]
pub struct VerifierError;

impl Verifier {
    /// What to keep of `password`. The salt is best 16 random bytes; each iteration takes about a
    /// microsecond.
    #[must_use]
    pub fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Verifier {
        let mut salted = [0; KEY_LEN];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        Verifier {
            iterations,
            salt: salt.to_owned(),
            stored_key: sha256(&hmac(&salted, b"Client Key")),
            server_key: hmac(&salted, b"Server Key"),
        }
    }

    /// A verifier that no password fits: its keys are no hash of anything.
    pub(in crate::auth) fn decoy(
        iterations: NonZeroU32,
        salt: Vec<u8>,
        key: [u8; KEY_LEN],
    ) -> Verifier {
        Verifier {
            iterations,
            salt,
            stored_key: key,
            server_key: key,
        }
    }

    /// The salt, which every client is told.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The count, which every client is told.
    #[must_use]
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// The server's signature, if `proof` could be made from these messages with the password only.
    pub(super) fn verify(&self, messages: &[u8], proof: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let mut client_key = hmac(&self.stored_key, messages);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        let signature = hmac(&self.server_key, messages);
        is_equal_constant_time(&sha256(&client_key), &self.stored_key).then_some(signature)
    }
}

/// Whether they are equal; the time it takes does not depend on where they differ.
fn is_equal_constant_time(a: &[u8; KEY_LEN], b: &[u8; KEY_LEN]) -> bool {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b);
    let tag = ring::hmac::sign(&key, a);
    // Compares the two tags in constant time.
    ring::hmac::verify(&key, b, tag.as_ref()).is_ok()
}

pub(in crate::auth) fn hmac(key: &[u8], message: &[u8]) -> [u8; KEY_LEN] {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    to_array(ring::hmac::sign(&key, message).as_ref())
}

fn sha256(message: &[u8]) -> [u8; KEY_LEN] {
    to_array(digest::digest(&digest::SHA256, message).as_ref())
}

fn to_array(bytes: &[u8]) -> [u8; KEY_LEN] {
    match bytes.try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("SHA-256 has 32 bytes"),
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (hashed, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
            let (count, salt) = hashed.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            let count: u32 = count.parse().ok()?;
            let salt = from_base64(salt)?;
            if !ITERATION_RANGE.contains(&count) || !SALT_LEN_RANGE.contains(&salt.len()) {
                return None;
            }
            Some(Verifier {
                iterations: NonZeroU32::new(count)?,
                salt,
                stored_key: from_base64(stored_key)?.try_into().ok()?,
                server_key: from_base64(server_key)?.try_into().ok()?,
            })
        };
        parse().ok_or(VerifierError)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verifier {
            iterations,
            salt,
            stored_key,
            server_key,
        } = self;
        let [salt, stored_key, server_key] =
            [&salt[..], &stored_key[..], &server_key[..]].map(to_base64);
        write!(f, "{PREFIX}{iterations}:{salt}${stored_key}:{server_key}")
    }
}

/// Without the keys: with them, passwords can be tried.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}
