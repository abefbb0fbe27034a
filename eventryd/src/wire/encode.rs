//! XDR encoder. A value above its declared maximum is never sent.

use thiserror::Error;

use super::STRING_MAX;

/// An error: a value or message exceeds the maximum of the protocol and was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("value or message exceeds the maximum of the protocol")]
pub struct EncodeError;

/// An encoder that appends XDR values to a buffer.
///
/// Writing returns no error, so that the fields of a message can be written as a plain list. A
/// value above its maximum is left out, and [`finish`](Self::finish) reports it.
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
/// # Ok::<(), eventryd::wire::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    too_long: bool,
}

impl<'a> Encoder<'a> {
    /// Creates an encoder that appends to `out`.
    #[must_use]
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            too_long: false,
        }
    }

    /// Writes an unsigned 4-byte integer.
    pub fn u32(&mut self, value: u32) {
        self.bytes(value.to_be_bytes());
    }

    /// Writes a signed 4-byte integer.
    pub fn i32(&mut self, value: i32) {
        self.bytes(value.to_be_bytes());
    }

    /// Writes an unsigned 8-byte integer.
    pub fn u64(&mut self, value: u64) {
        self.bytes(value.to_be_bytes());
    }

    /// Writes exactly `N` bytes without a length word. `N` must be a multiple of 4.
    pub fn bytes<const N: usize>(&mut self, value: [u8; N]) {
        const {
            assert!(
                N % 4 == 0,
                "N must be a multiple of 4: fixed-size opaque data has no padding"
            )
        };
        self.out.extend_from_slice(&value);
    }

    /// Writes a string of at most [`STRING_MAX`] bytes, with its length word and zero padding.
    pub fn string(&mut self, text: &[u8]) {
        if self.count(text.len(), STRING_MAX) {
            self.out.extend_from_slice(text);
            let padding = text.len().next_multiple_of(4) - text.len();
            self.out.extend_from_slice(&[0; 3][..padding]);
        }
    }

    /// Writes the count word of an array with at most `max` items. Returns `false` if `count`
    /// exceeds `max`; the items must not be written then.
    #[must_use]
    pub fn count(&mut self, count: usize, max: usize) -> bool {
        match u32::try_from(count) {
            Ok(word) if count <= max => {
                self.u32(word);
                true
            }
            _ => {
                self.too_long = true;
                false
            }
        }
    }

    /// Completes the encoding.
    ///
    /// # Errors
    /// [`EncodeError`] if a value was left out. The appended bytes are not a valid encoding then.
    pub const fn finish(self) -> Result<(), EncodeError> {
        if self.too_long {
            Err(EncodeError)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finish_fails_after_a_string_above_the_maximum() {
        for (length, fits) in [(STRING_MAX, true), (STRING_MAX + 1, false)] {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(&mut out);
            encoder.string(&vec![b'a'; length]);
            assert_eq!(encoder.finish().is_ok(), fits);
            assert_eq!(out.len(), if fits { 4 + length } else { 0 });
        }
    }
}
