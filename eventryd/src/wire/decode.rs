//! Reading XDR: every length is checked before anything is allocated for it.

use thiserror::Error;

/// The longest string a message may carry, in bytes (DM-802).
pub const STRING_MAX: usize = 4_194_304;

/// Why a payload does not decode.
///
/// The peer is told no more than that it does not; the variants are for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends before the value does.
    #[error("{needed} bytes needed, {left} left")]
    Truncated {
        /// The least number of bytes the value takes from here, its padding included.
        needed: usize,
        /// The bytes left in the payload.
        left: usize,
    },
    /// A length or count is above the maximum its field declares.
    #[error("length {length} is above the maximum of {max}")]
    TooLong {
        /// The length or count found.
        length: u32,
        /// The declared maximum.
        max: usize,
    },
    /// A string contains a NUL, at which C code would cut it.
    #[error("NUL inside a string")]
    EmbeddedNul,
}

/// A reader of XDR values over a payload.
///
/// Integers are big-endian. Pad bytes must be present; their value is not looked at, because real
/// senders do not always zero them. Bytes after the last value are the caller's to ignore.
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
    /// A reader that starts at the first byte of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes have not been read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// An unsigned 4-byte integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 4 bytes are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// A signed 4-byte integer; an enumeration is encoded as one, too.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 4 bytes are left.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.bytes().map(i32::from_be_bytes)
    }

    /// An unsigned 8-byte integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than 8 bytes are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// Exactly `N` bytes without a length word; `N` must be a multiple of 4.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer than `N` bytes are left.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        const { assert!(N % 4 == 0, "opaque data of fixed size without padding") };
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

    /// A string of at most [`STRING_MAX`] bytes, without any check for UTF-8: names are bytes.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] if the length word is above the maximum, [`DecodeError::Truncated`] if
    /// the payload ends before the string or its padding does, [`DecodeError::EmbeddedNul`] if the
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

    /// The count word of an array of at most `max` items, each taking at least `item_len` bytes.
    ///
    /// What is returned is safe to reserve memory for: that many items can still follow.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] if the count is above `max`, [`DecodeError::Truncated`] if the items
    /// cannot fit in what is left.
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
    fn a_string_needs_its_padding_but_not_zeros_in_it() {
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
    fn a_count_of_items_that_cannot_follow_is_refused() {
        let payload = [0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7];
        let expected = DecodeError::Truncated { needed: 8, left: 7 };
        assert_eq!(Decoder::new(&payload).count(10, 4), Err(expected));
        assert_eq!(Decoder::new(&payload).count(10, 3), Ok(2));
        let expected = DecodeError::TooLong { length: 2, max: 1 };
        assert_eq!(Decoder::new(&payload).count(1, 3), Err(expected));
    }

    #[test]
    fn what_is_read_no_longer_remains() {
        let mut from = Decoder::new(&[0; 9]);
        assert_eq!(from.remaining(), 9);
        from.u32().unwrap();
        assert_eq!(from.remaining(), 5);
    }
}
