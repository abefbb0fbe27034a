//! The client's side of SASL.

use crate::client::{RawClient, Stream};
use crate::rpc::{SASL_INIT, SASL_START, SASL_STEP};
use crate::scram::proof;

/// The first message of the user fred.
const FIRST: &str = "n,,n=fred,r=abc";

/// Encodes SASL data in the form of the protocol, a word for each byte.
///
/// # Panics
///
/// If the length does not fit into a word.
#[must_use]
pub fn data(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let words = [0, length].into_iter();
    let words = words.chain(bytes.iter().map(|byte| u32::from(*byte)));
    words.flat_map(u32::to_be_bytes).collect()
}

/// Encodes the arguments of the first step.
#[must_use]
pub fn start_arguments(first: &str) -> Vec<u8> {
    let mut arguments = 13_u32.to_be_bytes().to_vec();
    arguments.extend(b"SCRAM-SHA-256\0\0\0");
    arguments.extend(data(first.as_bytes()));
    arguments
}

/// Starts a login as fred, and returns the arguments of the last step.
///
/// # Panics
///
/// If the daemon refuses the first steps.
pub fn proof_of<S: Stream>(client: &mut RawClient<S>, password: &str) -> Vec<u8> {
    let mechanisms = client.call(SASL_INIT, &[]);
    assert!(mechanisms.ends_with(b"SCRAM-SHA-256\0\0\0"));
    let reply = client.call(SASL_START, &start_arguments(FIRST));
    let challenge: Vec<u8> = reply[12..].chunks(4).map(|word| word[3]).collect();
    data(&proof(FIRST, password.as_bytes(), &challenge))
}

/// Logs in as fred.
///
/// # Panics
///
/// If the daemon refuses the login.
pub fn log_in<S: Stream>(client: &mut RawClient<S>, password: &str) {
    let last = proof_of(client, password);
    let reply = client.call(SASL_STEP, &last);
    assert_eq!(reply[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
}
