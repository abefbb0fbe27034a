//! Text on the wire: bytes, not UTF-8, and characters that take four bytes each.

use std::borrow::Cow;
use std::fmt;

use super::{DecodeError, Decoder, Encoder, Xdr};

/// A string as the wire carries it: bytes without a NUL, usually but not always UTF-8.
///
/// Displayed with U+FFFD in the place of what is not UTF-8; compare the bytes, never the display.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WireString(Box<[u8]>);

impl WireString {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, for reading only.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
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
        f.write_str(&self.to_text())
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

/// A counted array of at most `MAX` C characters, each in a word of its own.
///
/// The protocol declares such fields with the type `char`, and its compiler makes an array of words of
/// that rather than opaque bytes. A terminating NUL, where there is one, is part of the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chars<const MAX: usize>(pub Vec<u8>);

impl<const MAX: usize> Chars<MAX> {
    /// The bytes of `text` and a terminating NUL.
    #[must_use]
    pub fn terminated(text: &str) -> Self {
        Self(text.bytes().chain([0]).collect())
    }
}

impl<const MAX: usize> Xdr for Chars<MAX> {
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

/// Exactly `N` C characters, each in a word of its own; a shorter text is filled up with NULs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedChars<const N: usize>(pub [u8; N]);

impl<const N: usize> FixedChars<N> {
    /// The bytes of `text`, cut so that at least one NUL ends it.
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

impl<const N: usize> Xdr for FixedChars<N> {
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

/// A `char` is the low byte of its word; like C, the rest is not looked at.
fn decode_char(from: &mut Decoder<'_>) -> Result<u8, DecodeError> {
    from.bytes().map(|[_, _, _, byte]: [u8; 4]| byte)
}

/// A `char` is signed where libvirt runs, so the word is its sign extension.
fn encode_char(byte: u8, to: &mut Encoder<'_>) {
    to.i32(i32::from(byte as i8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_takes_a_word_and_keeps_its_sign() {
        let mut out = Vec::new();
        Chars::<2>(vec![b'a', 0xfe]).encode(&mut Encoder::new(&mut out));
        assert_eq!(out, [0, 0, 0, 2, 0, 0, 0, b'a', 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(
            Chars::<2>::decode(&mut Decoder::new(&out)),
            Ok(Chars(vec![b'a', 0xfe]))
        );
        assert!(Chars::<1>::decode(&mut Decoder::new(&out)).is_err());
    }

    #[test]
    fn a_text_that_fills_its_field_is_cut_before_the_nul() {
        assert_eq!(FixedChars::<4>::terminated("abcdef").0, *b"abc\0");
        assert_eq!(FixedChars::<4>::terminated("a").0, *b"a\0\0\0");
    }

    #[test]
    fn a_string_that_is_not_utf8_keeps_its_bytes() {
        let decoded = WireString::decode(&mut Decoder::new(b"\0\0\0\x04t\xffst")).unwrap();
        assert_eq!(decoded.as_bytes(), b"t\xffst");
        assert_eq!(decoded.to_string(), "t\u{fffd}st");
    }

    #[test]
    fn a_text_is_shown_with_what_is_not_printable_escaped() {
        let text = WireString::from("a\"\n\u{1b}é");
        assert_eq!(format!("{text:?}"), r#""a\"\n\x1b\xc3\xa9""#);
    }

    #[test]
    fn a_character_takes_a_word_of_its_own() {
        assert_eq!(FixedChars::<32>::MIN_LEN, 128);
    }
}
