//! Parser for the fields of a certificate that rustls-webpki does not expose.
//!
//! rustls-webpki verifies the chain and its signatures. It ignores the key usage, keeps no dates of
//! trust anchors, and does not report if an extension is critical.

use super::der::{DerReader, Malformed, tag};

/// The parsed fields of a certificate. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// Content of the subject's SEQUENCE.
    pub(super) subject: &'a [u8],
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// The flag in the basic constraints; `None` without that extension.
    pub(super) is_ca: Option<bool>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended_key_usage: Option<ExtendedKeyUsage>,
}

/// The parsed bits of the key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyUsage {
    pub(super) digital_signature: bool,
    pub(super) certificate_sign: bool,
    pub(super) critical: bool,
}

/// The parsed purposes of the extended key usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ExtendedKeyUsage {
    pub(super) server: bool,
    pub(super) client: bool,
    pub(super) any: bool,
    pub(super) critical: bool,
}

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = DerReader::new(der);
        let mut fields = outer
            .expect_nested(tag::SEQUENCE)?
            .expect_nested(tag::SEQUENCE)?;
        fields.optional(tag::context(0))?;
        fields.expect(tag::INTEGER)?;
        fields.expect(tag::SEQUENCE)?;
        fields.expect(tag::SEQUENCE)?;
        let mut validity = fields.expect_nested(tag::SEQUENCE)?;
        let mut certificate = Certificate {
            not_before: read_date(&mut validity)?,
            not_after: read_date(&mut validity)?,
            subject: fields.expect(tag::SEQUENCE)?,
            is_ca: None,
            key_usage: None,
            extended_key_usage: None,
        };
        while !fields.is_empty() {
            let field = fields.read_element()?;
            if field.tag == tag::context(3) {
                let mut extensions = DerReader::new(field.content).expect_nested(tag::SEQUENCE)?;
                while !extensions.is_empty() {
                    certificate.record_extension(extensions.expect_nested(tag::SEQUENCE)?)?;
                }
            }
        }
        Ok(certificate)
    }

    /// Records an extension that is checked, and ignores any other.
    fn record_extension(&mut self, mut extension: DerReader<'_>) -> Result<(), Malformed> {
        let oid = extension.expect(tag::OBJECT_IDENTIFIER)?;
        let critical = is_true(extension.optional(tag::BOOLEAN)?);
        let mut value = DerReader::new(extension.expect(tag::OCTET_STRING)?);
        match oid {
            BASIC_CONSTRAINTS => {
                let flag = value.expect_nested(tag::SEQUENCE)?.optional(tag::BOOLEAN)?;
                self.is_ca = Some(is_true(flag));
            }
            KEY_USAGE => {
                // The first byte counts the unused bits; the highest bit of the second byte is bit
                // 0.
                let bits = value.expect(tag::BIT_STRING)?;
                let first = bits.get(1).copied().unwrap_or(0);
                self.key_usage = Some(KeyUsage {
                    digital_signature: first & 0x80 != 0,
                    certificate_sign: first & 0x04 != 0,
                    critical,
                });
            }
            EXTENDED_KEY_USAGE => {
                let mut oids = value.expect_nested(tag::SEQUENCE)?;
                let mut usage = ExtendedKeyUsage {
                    critical,
                    ..ExtendedKeyUsage::default()
                };
                while !oids.is_empty() {
                    match oids.expect(tag::OBJECT_IDENTIFIER)? {
                        SERVER_AUTH => usage.server = true,
                        CLIENT_AUTH => usage.client = true,
                        ANY_EXTENDED_KEY_USAGE => usage.any = true,
                        _ => {}
                    }
                }
                self.extended_key_usage = Some(usage);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Decodes an optional BOOLEAN whose default is false.
fn is_true(value: Option<&[u8]>) -> bool {
    matches!(value, Some([byte]) if *byte != 0)
}

/// Reads a date as seconds since 1970: `YYMMDDhhmmssZ` for the years 1950 to 2049, or
/// `YYYYMMDDhhmmssZ`.
fn read_date(from: &mut DerReader<'_>) -> Result<i64, Malformed> {
    let value = from.read_element()?;
    let text = std::str::from_utf8(value.content).map_err(|_| Malformed)?;
    let (year_digits, text) = match (value.tag, text.len()) {
        (tag::UTC_TIME, 13) => text.split_at_checked(2),
        (tag::GENERALIZED_TIME, 15) => text.split_at_checked(4),
        _ => None,
    }
    .ok_or(Malformed)?;
    let parse_digits = |digits: &str| -> Result<i64, Malformed> {
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
        are_digits
            .then(|| digits.parse().ok())
            .flatten()
            .ok_or(Malformed)
    };
    let year = match (year_digits.len(), parse_digits(year_digits)?) {
        (2, year @ ..50) => 2000 + year,
        (2, year) => 1900 + year,
        (_, year) => year,
    };
    let field = |at: usize| text.get(at..at + 2).ok_or(Malformed).and_then(parse_digits);
    let (month, day) = (field(0)?, field(2)?);
    let (hour, minute, second) = (field(4)?, field(6)?, field(8)?);
    let is_valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && text.ends_with('Z');
    if !is_valid {
        return Err(Malformed);
    }
    Ok(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Returns the number of days from 1970-01-01 to a date. Years begin on 1 March here, so that the
/// leap day is the last day of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::der::write_element;
    use super::*;
    use proptest::prelude::*;

    fn parse_date(kind: u8, text: &str) -> Result<i64, Malformed> {
        let mut bytes = Vec::new();
        write_element(&mut bytes, kind, text.as_bytes());
        read_date(&mut DerReader::new(&bytes))
    }

    #[test]
    fn dates_are_seconds_since_1970() {
        for (kind, text, seconds) in [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "691231235959Z", -1),
            (tag::UTC_TIME, "240229120000Z", 1_709_208_000),
            (tag::UTC_TIME, "491231235959Z", 2_524_607_999),
            (tag::GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (tag::GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(parse_date(kind, text), Ok(seconds), "{text}");
        }
        for text in [
            "7001010000Z",
            "701301000000Z",
            "70010100000éZ",
            "+00101000000Z",
        ] {
            assert_eq!(parse_date(tag::UTC_TIME, text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn certificate_of_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let _ = Certificate::read(&bytes);
        }

        #[test]
        fn date_of_any_text_does_not_panic(text: String) {
            for kind in [tag::UTC_TIME, tag::GENERALIZED_TIME] {
                if text.len() < 100 {
                    let _ = parse_date(kind, &text);
                }
            }
        }
    }
}
