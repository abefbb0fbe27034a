//! The client's side of SCRAM-SHA-256, by RFC 5802.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// Encodes bytes in the base64 form of RFC 5802.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Returns the last message of a client that knows the password. `first` is its first message, which begins with
/// `n,,`, and `challenge` the server's answer.
///
/// # Panics
///
/// If the challenge is malformed.
#[must_use]
pub fn proof(first: &str, password: &[u8], challenge: &[u8]) -> Vec<u8> {
    let challenge = std::str::from_utf8(challenge).expect("text");
    let attributes: Vec<&str> = challenge.split(',').collect();
    let salt = STANDARD.decode(&attributes[1][2..]).expect("a salt");
    let count = attributes[2][2..].parse().expect("a count");
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        count,
        &salt,
        password,
        &mut salted,
    );
    let sign = |key: &[u8], text: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text).as_ref().to_vec()
    };
    let key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &key);
    let last = format!("c=biws,{}", attributes[0]);
    let bare = first.strip_prefix("n,,").expect("no channel binding");
    let transcript = format!("{bare},{challenge},{last}");
    let signature = sign(stored.as_ref(), transcript.as_bytes());
    let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    format!("{last},p={}", base64(&proof)).into_bytes()
}
