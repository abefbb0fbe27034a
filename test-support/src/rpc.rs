//! Protocol messages, encoded by the description of the protocol without code of the daemon.

use eventryd::wire::{Call, Encoder, Header};
use std::error::Error;
use std::io::{self, Read};

/// The remote program.
pub const REMOTE: u32 = 0x2000_8086;
/// The procedure that lists the authentication types.
pub const AUTH_LIST: i32 = 66;
/// The procedure that opens a hypervisor connection.
pub const CONNECT_OPEN: i32 = 1;
/// The procedure that returns the host name.
pub const GET_HOSTNAME: i32 = 59;
/// The procedure that tests for a feature.
pub const SUPPORTS_FEATURE: i32 = 60;
/// The argument of a test for the feature keepalive, which tells the server that the client answers pings.
pub const FEATURE_KEEPALIVE: [u8; 4] = [0, 0, 0, 10];
/// The keepalive program.
pub const KEEPALIVE: u32 = 0x6b65_6570;
/// The header of a ping.
pub const PING: [u32; 6] = [KEEPALIVE, 1, 1, 2, 0, 0];
/// The procedure that lists the SASL mechanisms.
pub const SASL_INIT: i32 = 67;
/// The procedure of the first SASL step.
pub const SASL_START: i32 = 68;
/// The procedure of a further SASL step.
pub const SASL_STEP: i32 = 69;

/// Encodes a message from its header, without the length word, and its body.
///
/// # Panics
///
/// If the length does not fit into a word.
#[must_use]
pub fn framed(words: [u32; 6], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(28 + body.len()).expect("a short message");
    let words = std::iter::once(length).chain(words);
    let mut bytes: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
    bytes.extend(body);
    bytes
}

fn word(number: i32) -> u32 {
    u32::from_ne_bytes(number.to_ne_bytes())
}

/// Encodes a call of the remote program.
#[must_use]
pub fn message(procedure: i32, serial: u32, arguments: &[u8]) -> Vec<u8> {
    let words = [REMOTE, 1, word(procedure), 0, serial, 0];
    framed(words, arguments)
}

/// Encodes a message with any header and payload, which may be invalid.
#[must_use]
pub fn message_with(header: Header, payload: &[u8]) -> Vec<u8> {
    let words = [
        header.program,
        header.version,
        word(header.procedure),
        word(header.kind.into()),
        header.serial,
        word(header.status.into()),
    ];
    framed(words, payload)
}

/// Encodes a call.
///
/// # Panics
///
/// If an argument is longer than the protocol allows.
#[must_use]
pub fn message_of(call: &Call, serial: u32) -> Vec<u8> {
    let mut arguments = Vec::new();
    let mut encoder = Encoder::new(&mut arguments);
    call.encode(&mut encoder);
    encoder.finish().expect("the arguments of a call");
    message(call.procedure().number, serial, &arguments)
}

/// Encodes a pong.
#[must_use]
pub fn pong() -> Vec<u8> {
    framed([KEEPALIVE, 1, 2, 2, 0, 0], &[])
}

/// Encodes the arguments of an open of `test:///default`.
#[must_use]
pub fn open_arguments() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 15];
    bytes.extend_from_slice(b"test:///default\0");
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// Reads the next message, and returns the six words of its header and its payload.
///
/// # Errors
///
/// If the stream ends or the read times out. A truncated message is `InvalidData`.
pub fn read_message(from: &mut impl Read) -> io::Result<([u32; 6], Vec<u8>)> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    let broken =
        |error: Box<dyn Error + Send + Sync>| io::Error::new(io::ErrorKind::InvalidData, error);
    let payload = length
        .checked_sub(28)
        .filter(|payload| *payload <= 32 << 20);
    let payload = payload.ok_or_else(|| broken(format!("invalid length {length}").into()))?;
    let mut words = [[0; 4]; 6];
    from.read_exact(words.as_flattened_mut())
        .map_err(|error| broken(error.into()))?;
    let mut payload = vec![0; payload];
    from.read_exact(&mut payload)
        .map_err(|error| broken(error.into()))?;
    Ok((words.map(u32::from_be_bytes), payload))
}
