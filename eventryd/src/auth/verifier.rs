//! Data that a server stores of a password, and the check of a proof with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, pbkdf2};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Length of a key and of a proof in bytes.
pub(in crate::auth) const KEY_LEN: usize = 32;

/// Default number of PBKDF2 iterations.
///
/// The client repeats this work at each login, and an attacker for each guess from a stolen file.
/// Cyrus SASL accepts at most 65,536.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(16_384).unwrap();

/// Accepted iteration counts: from the minimum of RFC 7677 to about ten seconds of work.
const ITERATION_RANGE: std::ops::RangeInclusive<u32> = 4_096..=10_000_000;
/// Accepted lengths of a salt in bytes.
const SALT_LEN_RANGE: std::ops::RangeInclusive<usize> = 8..=128;

/// Prefix of the text form, as PostgreSQL writes it.
const PREFIX: &str = "SCRAM-SHA-256$";

/// Data that a server stores of a password. It suffices to check a proof, but not to create one.
///
/// The text form is `SCRAM-SHA-256$COUNT:SALT$STOREDKEY:SERVERKEY` with all fields but the count in
/// base64, as PostgreSQL writes it.
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

/// Error for a text that is not a [`Verifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected SCRAM-SHA-256$COUNT:SALT$STOREDKEY:SERVERKEY with a count from 4096 and a salt of at least \
     8 bytes, as `eventryd passwd` writes it"
)]
pub struct VerifierError;

impl Verifier {
    /// Derives the verifier of `password`. `salt` should be 16 random bytes. Each iteration takes
    /// about a microsecond.
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

    /// Creates a verifier that no password matches: its keys are not hashes of a password.
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

    /// Returns the salt, which is sent to the client.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Returns the iteration count, which is sent to the client.
    #[must_use]
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Verifies the client's `proof` over `messages`. Returns the server's signature if the proof
    /// is right.
    pub(super) fn verify(&self, messages: &[u8], proof: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let mut client_key = hmac(&self.stored_key, messages);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        let signature = hmac(&self.server_key, messages);
        is_equal_constant_time(&sha256(&client_key), &self.stored_key).then_some(signature)
    }
}

/// Returns `true` if `a` equals `b`. The time does not depend on the contents.
fn is_equal_constant_time(a: &[u8; KEY_LEN], b: &[u8; KEY_LEN]) -> bool {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b);
    let tag = ring::hmac::sign(&key, a);
    // `verify` compares the two tags in constant time.
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

/// Omits the salt and the keys, which allow guessing the password offline.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

pub(in crate::auth) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(in crate::auth) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
