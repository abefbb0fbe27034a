//! Text on the wire: byte strings, and arrays of characters with four bytes each.

use std::borrow::Cow;
use std::fmt;

use super::{DecodeError, Decoder, Encoder, Xdr};

/// A string on the wire: bytes without a NUL, usually UTF-8.
///
/// `Display` replaces invalid UTF-8 with U+FFFD, so compare the bytes instead.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WireString(Box<[u8]>);

impl WireString {
    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text, with U+FFFD in place of invalid UTF-8.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl<T: Into<String>> From<T> for WireString {
    fn from(text: T) -> Self {
        Self(text.into().into_bytes().into())
    }
}

impl fmt::Display for WireString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

impl fmt::Debug for WireString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Xdr for WireString {
    const MIN_LEN: usize = 4;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.string().map(|text| Self(text.into()))
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        to.string(&self.0);
    }
}

/// A counted array of at most `MAX` C characters, each encoded as a 4-byte word.
///
/// libvirt's protocol definition declares these fields with the type `char`, and rpcgen encodes
/// each element as a word instead of using opaque bytes. A terminating NUL, if present, is part of
/// the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharArray<const MAX: usize>(pub Vec<u8>);

impl<const MAX: usize> CharArray<MAX> {
    /// Returns the bytes of `text` and a terminating NUL.
    #[must_use]
    pub fn terminated(text: &str) -> Self {
        Self(text.bytes().chain([0]).collect())
    }
}

impl<const MAX: usize> Xdr for CharArray<MAX> {
    const MIN_LEN: usize = 4;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = from.count(MAX, 4)?;
        (0..count)
            .map(|_| decode_char(from))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        if to.count(self.0.len(), MAX) {
            self.0.iter().for_each(|&byte| encode_char(byte, to));
        }
    }
}

/// An array of exactly `N` C characters, each encoded as a 4-byte word. A shorter text is padded
/// with NULs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedCharArray<const N: usize>(pub [u8; N]);

impl<const N: usize> FixedCharArray<N> {
    /// Returns the bytes of `text`, truncated to leave room for a terminating NUL.
    #[must_use]
    pub fn terminated(text: &str) -> Self {
        let mut bytes = [0; N];
        let room = N.saturating_sub(1);
        bytes
            .iter_mut()
            .take(room)
            .zip(text.bytes())
            .for_each(|(to, byte)| *to = byte);
        Self(bytes)
    }
}

impl<const N: usize> Xdr for FixedCharArray<N> {
    const MIN_LEN: usize = 4 * N;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = decode_char(from)?;
        }
        Ok(Self(bytes))
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        self.0.iter().for_each(|&byte| encode_char(byte, to));
    }
}

/// Reads a `char`, which is the low byte of its word. As in C, the other bytes are ignored.
fn decode_char(from: &mut Decoder<'_>) -> Result<u8, DecodeError> {
    from.bytes().map(|[_, _, _, byte]: [u8; 4]| byte)
}

/// Writes a `char`, sign-extended to a word: `char` is signed on the platforms of libvirt.
fn encode_char(byte: u8, to: &mut Encoder<'_>) {
    to.i32(i32::from(byte as i8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn char_array_sign_extends_each_byte_to_a_word() {
        let mut out = Vec::new();
        CharArray::<2>(vec![b'a', 0xfe]).encode(&mut Encoder::new(&mut out));
        assert_eq!(out, [0, 0, 0, 2, 0, 0, 0, b'a', 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(
            CharArray::<2>::decode(&mut Decoder::new(&out)),
            Ok(CharArray(vec![b'a', 0xfe]))
        );
        assert!(CharArray::<1>::decode(&mut Decoder::new(&out)).is_err());
    }

    #[test]
    fn terminated_cuts_the_text_to_fit_a_nul() {
        assert_eq!(FixedCharArray::<4>::terminated("abcdef").0, *b"abc\0");
        assert_eq!(FixedCharArray::<4>::terminated("a").0, *b"a\0\0\0");
    }

    #[test]
    fn non_utf8_string_keeps_its_bytes() {
        let decoded = WireString::decode(&mut Decoder::new(b"\0\0\0\x04t\xffst")).unwrap();
        assert_eq!(decoded.as_bytes(), b"t\xffst");
        assert_eq!(decoded.to_string(), "t\u{fffd}st");
    }

    #[test]
    fn debug_escapes_unprintable_bytes() {
        let text = WireString::from("a\"\n\u{1b}é");
        assert_eq!(format!("{text:?}"), r#""a\"\n\x1b\xc3\xa9""#);
    }

    #[test]
    fn fixed_char_array_takes_a_word_per_character() {
        assert_eq!(FixedCharArray::<32>::MIN_LEN, 128);
    }
}
