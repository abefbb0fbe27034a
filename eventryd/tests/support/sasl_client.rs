//! How a client logs in by SASL. Needs the modules `scram` and `support` beside it.

#![allow(
    dead_code,
    reason = "each test file has this as a module of its own and uses its part"
)]

use crate::scram::proof;
use crate::support::{Connection, RawClient};

pub(crate) const SASL_INIT: i32 = 67;
pub(crate) const SASL_START: i32 = 68;
pub(crate) const SASL_STEP: i32 = 69;

/// What fred says first.
const FIRST: &str = "n,,n=fred,r=abc";

/// SASL data on the wire: a word for each byte.
pub(crate) fn data(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let words = [0, length].into_iter();
    let words = words.chain(bytes.iter().map(|byte| u32::from(*byte)));
    words.flat_map(u32::to_be_bytes).collect()
}

pub(crate) fn start_arguments(first: &str) -> Vec<u8> {
    let mut arguments = 13_u32.to_be_bytes().to_vec();
    arguments.extend(b"SCRAM-SHA-256\0\0\0");
    arguments.extend(data(first.as_bytes()));
    arguments
}

/// The arguments of the last step.
pub(crate) fn proof_of<S: Connection>(client: &mut RawClient<S>, password: &str) -> Vec<u8> {
    let mechanisms = client.call(SASL_INIT, &[]);
    assert!(mechanisms.ends_with(b"SCRAM-SHA-256\0\0\0"));
    let reply = client.call(SASL_START, &start_arguments(FIRST));
    let challenge: Vec<u8> = reply[12..].chunks(4).map(|word| word[3]).collect();
    data(&proof(FIRST, password.as_bytes(), &challenge))
}

/// Logs fred in.
pub(crate) fn log_in<S: Connection>(client: &mut RawClient<S>, password: &str) {
    let last = proof_of(client, password);
    let reply = client.call(SASL_STEP, &last);
    assert_eq!(reply[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
}
