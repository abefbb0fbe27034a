//! A message put together by hand, as the protocol's description has it: nothing of it is the daemon's.

/// The message with these words behind its length, and this body.
pub(crate) fn framed(words: [u32; 6], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(28 + body.len()).expect("a short message");
    let words = std::iter::once(length).chain(words);
    let mut bytes: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
    bytes.extend(body);
    bytes
}
