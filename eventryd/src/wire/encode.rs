//! Writing XDR: a value above its declared maximum is never put on the wire.

use thiserror::Error;

use super::STRING_MAX;

/// A value or message is longer than the protocol allows, so it was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a value or message is longer than the protocol allows")]
pub struct Oversize;

/// A writer of XDR values, appending to a buffer.
///
/// Writing never fails at once: a value above its maximum is left out and remembered, and
/// [`finish`](Self::finish) reports it. So the code that lists a message's fields stays a plain list.
///
/// ```
/// use eventryd::wire::Encoder;
///
/// let mut out = Vec::new();
/// let mut encoder = Encoder::new(&mut out);
/// encoder.string(b"a");
/// encoder.u32(42);
/// encoder.finish()?;
/// assert_eq!(out, b"\0\0\0\x01a\0\0\0\0\0\0\x2a");
/// # Ok::<(), eventryd::wire::Oversize>(())
/// ```
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    oversize: bool,
}

impl<'a> Encoder<'a> {
    /// A writer that appends to `out`.
    #[must_use]
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            oversize: false,
        }
    }

    /// An unsigned 4-byte integer.
    pub fn u32(&mut self, value: u32) {
        self.bytes(value.to_be_bytes());
    }

    /// A signed 4-byte integer.
    pub fn i32(&mut self, value: i32) {
        self.bytes(value.to_be_bytes());
    }

    /// An unsigned 8-byte integer.
    pub fn u64(&mut self, value: u64) {
        self.bytes(value.to_be_bytes());
    }

    /// Exactly `N` bytes without a length word; `N` must be a multiple of 4.
    pub fn bytes<const N: usize>(&mut self, value: [u8; N]) {
        const { assert!(N % 4 == 0, "opaque data of fixed size without padding") };
        self.out.extend_from_slice(&value);
    }

    /// A string with its length word, padded with zeros; at most [`STRING_MAX`] bytes.
    pub fn string(&mut self, text: &[u8]) {
        if self.count(text.len(), STRING_MAX) {
            self.out.extend_from_slice(text);
            let padding = text.len().next_multiple_of(4) - text.len();
            self.out.extend_from_slice(&[0; 3][..padding]);
        }
    }

    /// The count word of an array of at most `max` items; `false` if the items must not follow because
    /// there are more.
    #[must_use]
    pub fn count(&mut self, count: usize, max: usize) -> bool {
        match u32::try_from(count) {
            Ok(word) if count <= max => {
                self.u32(word);
                true
            }
            _ => {
                self.oversize = true;
                false
            }
        }
    }

    /// Ends the value.
    ///
    /// # Errors
    /// [`Oversize`] if anything was left out; what was appended is then not a valid encoding.
    pub const fn finish(self) -> Result<(), Oversize> {
        if self.oversize { Err(Oversize) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_above_the_maximum_is_left_out_and_reported() {
        for (length, fits) in [(STRING_MAX, true), (STRING_MAX + 1, false)] {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(&mut out);
            encoder.string(&vec![b'a'; length]);
            assert_eq!(encoder.finish().is_ok(), fits);
            assert_eq!(out.len(), if fits { 4 + length } else { 0 });
        }
    }
}
