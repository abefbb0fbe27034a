//! The protocol, written from its description without code of the daemon.

use test_support::rpc::framed;

pub(crate) const REMOTE: u32 = 0x2000_8086;
pub(crate) const KEEPALIVE: u32 = 0x6b65_6570;
pub(crate) const HEADER: usize = 28;

/// Message types.
pub(crate) const CALL: u32 = 0;
pub(crate) const REPLY: u32 = 1;
pub(crate) const MESSAGE: u32 = 2;

/// Procedure numbers.
pub(crate) const OPEN: i32 = 1;
pub(crate) const CLOSE: i32 = 2;
pub(crate) const DESTROY: i32 = 12;
pub(crate) const INFO: i32 = 16;
pub(crate) const LOOKUP: i32 = 23;
pub(crate) const SUSPEND: i32 = 34;
pub(crate) const HOSTNAME: i32 = 59;
pub(crate) const FEATURE: i32 = 60;
pub(crate) const AUTH_LIST: i32 = 66;
pub(crate) const SASL_INIT: i32 = 67;
pub(crate) const SASL_START: i32 = 68;
pub(crate) const SASL_STEP: i32 = 69;
pub(crate) const POLKIT: i32 = 70;

/// Error codes.
pub(crate) const INTERNAL_ERROR: u32 = 1;
pub(crate) const NO_CONNECT: u32 = 5;
pub(crate) const OPERATION_DENIED: u32 = 29;
pub(crate) const RPC: u32 = 39;
pub(crate) const AUTH_FAILED: u32 = 45;

/// The words of the header after the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: i32,
    pub(crate) kind: u32,
    pub(crate) serial: u32,
    pub(crate) status: u32,
}

impl Head {
    pub(crate) fn call(procedure: i32, serial: u32) -> Head {
        Head {
            program: REMOTE,
            version: 1,
            procedure,
            kind: CALL,
            serial,
            status: 0,
        }
    }

    pub(crate) fn keepalive(procedure: i32) -> Head {
        Head {
            program: KEEPALIVE,
            kind: MESSAGE,
            ..Head::call(procedure, 0)
        }
    }

    /// Encodes the message with this body.
    pub(crate) fn with(self, body: &[u8]) -> Vec<u8> {
        let words = [
            self.program,
            self.version,
            self.procedure as u32,
            self.kind,
            self.serial,
            self.status,
        ];
        framed(words, body)
    }
}

/// Decodes the first message of `bytes`: its header, its body and its length; `None` if it is incomplete.
pub(crate) fn first(bytes: &[u8]) -> Option<(Head, &[u8], usize)> {
    let length = word(bytes, 0)? as usize;
    assert!(length >= HEADER, "the server sent a message of {length}");
    let body = bytes.get(HEADER..length)?;
    let head = Head {
        program: word(bytes, 1)?,
        version: word(bytes, 2)?,
        procedure: word(bytes, 3)? as i32,
        kind: word(bytes, 4)?,
        serial: word(bytes, 5)?,
        status: word(bytes, 6)?,
    };
    Some((head, body, length))
}

/// Returns the word with this index.
pub(crate) fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let at = bytes.get(4 * index..4 * index + 4)?;
    Some(u32::from_be_bytes(at.try_into().expect("four bytes")))
}

/// Encodes bytes with their length, padded to whole words.
pub(crate) fn counted(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Encodes the domain of the hypervisor. The name is free, because the hypervisor compares the UUID only.
pub(crate) fn domain(name: &str) -> Vec<u8> {
    let mut bytes = counted(name.as_bytes());
    bytes.extend(0x6695_eb01_f6a4_8304_79aa_97f2_502e_193f_u128.to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes
}

/// Encodes SASL data, in which the protocol uses a word for each byte.
pub(crate) fn chars(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a short text");
    let words = data.iter().map(|byte| u32::from(*byte));
    let words = std::iter::once(length).chain(words);
    words.flat_map(u32::to_be_bytes).collect()
}

/// Decodes the SASL data that follow `words_before` words of a body.
pub(crate) fn chars_in(body: &[u8], words_before: usize) -> Option<Vec<u8>> {
    let length = word(body, words_before)? as usize;
    let at = |index| word(body, words_before + 1 + index);
    (0..length)
        .map(|index| Some(at(index)?.to_be_bytes()[3]))
        .collect()
}
