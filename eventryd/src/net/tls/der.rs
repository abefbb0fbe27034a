//! DER encoding of the elements in certificates and keys.
//!
//! The input is untrusted. For any bytes, the reader does not panic, copy or recurse.

/// Tags of the elements that occur.
pub(super) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// Returns the constructed, context-specific tag of number `n`.
    pub(crate) const fn context(n: u8) -> u8 {
        0xa0 | n
    }
}

/// The error for bytes that are not valid DER or not of the expected structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One element: its tag, its content, and its encoding including the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) encoded: &'a [u8],
}

/// A reader of consecutive elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct DerReader<'a>(&'a [u8]);

impl<'a> DerReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        DerReader(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next element.
    pub(super) fn read_element(&mut self) -> Result<Element<'a>, Malformed> {
        let bytes = self.0;
        let (&tag, rest) = bytes.split_first().ok_or(Malformed)?;
        // Multi-byte tags do not occur in certificates.
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (&first, rest) = rest.split_first().ok_or(Malformed)?;
        let (length, rest) = match first {
            ..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or(Malformed)?;
                let length = digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit));
                // DER requires the shortest form of a length.
                if length < 0x80 || digits[0] == 0 {
                    return Err(Malformed);
                }
                (length, rest)
            }
            _ => return Err(Malformed),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Element {
            tag,
            content,
            encoded: &bytes[..bytes.len() - rest.len()],
        })
    }

    /// Reads the next element, which must have this tag, and returns its content.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let value = self.read_element()?;
        if value.tag == tag {
            Ok(value.content)
        } else {
            Err(Malformed)
        }
    }

    /// Reads the next element, which must have this tag, and returns a reader of its content.
    pub(super) fn expect_nested(&mut self, tag: u8) -> Result<DerReader<'a>, Malformed> {
        self.expect(tag).map(DerReader)
    }

    /// Reads the next element if it has this tag, and returns its content.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) {
            self.expect(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Fails if any bytes are left.
    pub(super) const fn expect_end(&self) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// Appends an element.
///
/// # Panics
/// If the content has 64 KiB or more. Names and keys are shorter.
pub(super) fn write_element(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.push(tag);
    let length = u16::try_from(content.len()).expect("a value of less than 64 KiB");
    let [high, low] = length.to_be_bytes();
    match length {
        0..0x80 => to.push(low),
        0x80..0x100 => to.extend([0x81, low]),
        _ => to.extend([0x82, high, low]),
    }
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_elements_are_read_back() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let content = vec![7; length];
            let mut bytes = Vec::new();
            write_element(&mut bytes, tag::OCTET_STRING, &content);
            let mut reader = DerReader::new(&bytes);
            let value = reader.read_element().unwrap();
            assert_eq!(value.content, content);
            assert_eq!(value.encoded, bytes);
            assert_eq!(reader.expect_end(), Ok(()));
        }
    }

    #[test]
    fn element_of_another_tag_is_left_if_optional() {
        let bytes = [2, 1, 9, 4, 2, 7, 8];
        let mut reader = DerReader::new(&bytes);
        assert_eq!(reader.expect_end(), Err(Malformed));
        assert_eq!(reader.optional(tag::BOOLEAN), Ok(None));
        assert_eq!(reader.optional(tag::INTEGER), Ok(Some(&[9][..])));
        assert_eq!(DerReader::new(&bytes).expect(tag::BOOLEAN), Err(Malformed));
        assert!(!reader.is_empty());
        let mut nested = reader.expect_nested(tag::OCTET_STRING).unwrap();
        assert_eq!(
            nested.read_element(),
            Err(Malformed),
            "a tag without its length"
        );
        assert!(reader.is_empty());
        assert_eq!(reader.optional(tag::INTEGER), Ok(None));
        assert_eq!(reader.read_element(), Err(Malformed));
    }

    #[test]
    fn length_has_up_to_four_bytes() {
        for (header, length) in [
            (&[4, 0x7f][..], 0x7f),
            (&[4, 0x81, 0x80], 0x80),
            (&[4, 0x82, 1, 2], 0x102),
            (&[4, 0x83, 1, 2, 3], 0x1_0203),
            (&[4, 0x84, 1, 0, 0, 3], 0x100_0003),
        ] {
            let mut bytes = header.to_vec();
            bytes.resize(header.len() + length + 1, 7);
            let mut reader = DerReader::new(&bytes);
            let element = reader.read_element().unwrap();
            assert_eq!(element.content.len(), length);
            assert_eq!(element.encoded.len(), header.len() + length);
            assert_eq!(reader.expect_end(), Err(Malformed), "a byte is left");
            bytes.truncate(header.len() + length - 1);
            assert_eq!(DerReader::new(&bytes).read_element(), Err(Malformed));
        }
    }

    #[test]
    fn tags_have_one_byte_only() {
        assert_eq!(tag::context(3), 0xa3);
        for (tag, is_valid) in [
            (0x1e, true),
            (0x1f, false),
            (0x3f, false),
            (0xbf, false),
            (0xa3, true),
        ] {
            assert_eq!(DerReader::new(&[tag, 0]).read_element().is_ok(), is_valid);
        }
    }

    #[test]
    fn bad_length_is_malformed() {
        for bytes in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80],
            &[4, 0x81, 1, 0],
            &[4, 0x82, 0, 200],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[4, 0x85, 0, 0, 0, 0, 1],
            &[0x1f, 1, 0],
        ] {
            assert_eq!(
                DerReader::new(bytes).read_element(),
                Err(Malformed),
                "{bytes:02x?}"
            );
        }
    }
}
