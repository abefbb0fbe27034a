//! XDR decoder. Every length is checked before memory is allocated for it.

use thiserror::Error;

/// Maximum length of a string, in bytes (DM-802).
pub const STRING_MAX: usize = 4_194_304;

/// The reason why a payload cannot be decoded.
///
/// The error sent to the peer has a fixed text without this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends before the value.
    #[error("value truncated: {needed} bytes needed, {left} left")]
    Truncated {
        /// Minimum number of bytes of the value from this position, including padding.
        needed: usize,
        /// Number of bytes left in the payload.
        left: usize,
    },
    /// A length or count exceeds the maximum of its field.
    #[error("length {length} exceeds the maximum of {max}")]
    TooLong {
        /// The length or count in the payload.
        length: u32,
        /// The maximum of the field.
        max: usize,
    },
    /// A string contains a NUL, at which C code would truncate it.
    #[error("string contains a NUL byte")]
    EmbeddedNul,
}

/// A decoder of XDR values in a payload.
///
/// Integers are big-endian. Pad bytes must be present, but may have any value, because some clients
/// do not zero them. The caller decides about bytes after the last value.
///
/// ```
/// use eventryd::wire::Decoder;
///
/// let mut decoder = Decoder::new(b"\0\0\0\x01a\xff\xff\xff\0\0\0\x2a");
/// assert_eq!(decoder.string()?, b"a");
/// assert_eq!(decoder.u32()?, 42);
/// assert!(decoder.u32().is_err());
/// # Ok::<(), eventryd::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Creates a decoder that starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the number of bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads an unsigned 4-byte integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 4 bytes are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// Reads a signed 4-byte integer. Enumerations have the same encoding.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 4 bytes are left.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.bytes().map(i32::from_be_bytes)
    }

    /// Reads an unsigned 8-byte integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 8 bytes are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// Reads exactly `N` bytes without a length word. `N` must be a multiple of 4.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than `N` bytes are left.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        const {
            assert!(
                N % 4 == 0,
                "N must be a multiple of 4: fixed-size opaque data has no padding"
            )
        };
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated {
                needed: N,
                left: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(*head)
    }

    /// Reads a string of at most [`STRING_MAX`] bytes. Names are bytes, so UTF-8 is not checked.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] if the length word exceeds the maximum, [`DecodeError::Truncated`]
    /// if the payload ends before the string or its padding, [`DecodeError::EmbeddedNul`] if the
    /// string contains a NUL byte.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count(STRING_MAX, 1)?;
        let padded = length.next_multiple_of(4);
        let (head, rest) = self
            .rest
            .split_at_checked(padded)
            .ok_or(DecodeError::Truncated {
                needed: padded,
                left: self.rest.len(),
            })?;
        self.rest = rest;
        let text = &head[..length];
        if text.contains(&0) {
            return Err(DecodeError::EmbeddedNul);
        }
        Ok(text)
    }

    /// Reads the count word of an array with at most `max` items of at least `item_len` bytes each.
    ///
    /// The payload is long enough for the returned count, so the caller can reserve memory for it.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] if the count exceeds `max`, [`DecodeError::Truncated`] if the items
    /// do not fit into the rest of the payload.
    pub fn count(&mut self, max: usize, item_len: usize) -> Result<usize, DecodeError> {
        let length = self.u32()?;
        let too_long = DecodeError::TooLong { length, max };
        let count = usize::try_from(length).map_err(|_| too_long)?;
        if count > max {
            return Err(too_long);
        }
        let needed = count.saturating_mul(item_len);
        if needed > self.rest.len() {
            return Err(DecodeError::Truncated {
                needed,
                left: self.rest.len(),
            });
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_above_maximum_fails_before_its_bytes_are_read() {
        let mut decoder = Decoder::new(&[0xff; 4]);
        let expected = DecodeError::TooLong {
            length: u32::MAX,
            max: STRING_MAX,
        };
        assert_eq!(decoder.string(), Err(expected));
    }

    #[test]
    fn string_needs_padding_of_any_value() {
        assert_eq!(Decoder::new(b"\0\0\0\x03abc\x7f").string(), Ok(&b"abc"[..]));
        let expected = DecodeError::Truncated { needed: 4, left: 3 };
        assert_eq!(Decoder::new(b"\0\0\0\x03abc").string(), Err(expected));
    }

    #[test]
    fn string_refuses_nul_and_accepts_non_utf8() {
        assert_eq!(
            Decoder::new(b"\0\0\0\x04t\0st").string(),
            Err(DecodeError::EmbeddedNul)
        );
        assert_eq!(
            Decoder::new(b"\0\0\0\x04t\xffst").string(),
            Ok(&b"t\xffst"[..])
        );
    }

    #[test]
    fn count_refuses_items_that_cannot_follow() {
        let payload = [0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7];
        let expected = DecodeError::Truncated { needed: 8, left: 7 };
        assert_eq!(Decoder::new(&payload).count(10, 4), Err(expected));
        assert_eq!(Decoder::new(&payload).count(10, 3), Ok(2));
        let expected = DecodeError::TooLong { length: 2, max: 1 };
        assert_eq!(Decoder::new(&payload).count(1, 3), Err(expected));
    }

    #[test]
    fn remaining_shrinks_with_each_read() {
        let mut from = Decoder::new(&[0; 9]);
        assert_eq!(from.remaining(), 9);
        from.u32().unwrap();
        assert_eq!(from.remaining(), 5);
    }
}
