//! What a certificate says of itself.
//!
//! The chain and its signatures are rustls-webpki's. It does not look at key usage, keeps no dates of
//! authorities, and does not tell whether an extension is critical; so that is read here.

use super::der::{Malformed, Reader, tag};

/// What is looked at of a certificate. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// What the SEQUENCE of the subject encloses.
    pub(super) subject: &'a [u8],
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// Whether it is an authority's, if it says so or otherwise.
    pub(super) is_authority: Option<bool>,
    pub(super) usage: Option<Usage>,
    pub(super) purpose: Option<Purpose>,
}

/// What the key may be used for, as far as anybody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) digital_signature: bool,
    pub(super) certificate_sign: bool,
    pub(super) critical: bool,
}

/// What the certificate may be used for, as far as anybody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) server: bool,
    pub(super) client: bool,
    pub(super) any: bool,
    pub(super) critical: bool,
}

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 37, 0];
const SERVER_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(der);
        let mut fields = outer.enter(tag::SEQUENCE)?.enter(tag::SEQUENCE)?;
        fields.optional(tag::context(0))?;
        fields.expect(tag::INTEGER)?;
        fields.expect(tag::SEQUENCE)?;
        fields.expect(tag::SEQUENCE)?;
        let mut validity = fields.enter(tag::SEQUENCE)?;
        let mut certificate = Certificate {
            not_before: time(&mut validity)?,
            not_after: time(&mut validity)?,
            subject: fields.expect(tag::SEQUENCE)?,
            is_authority: None,
            usage: None,
            purpose: None,
        };
        while !fields.is_empty() {
            let field = fields.any()?;
            if field.tag == tag::context(3) {
                let mut extensions = Reader::new(field.content).enter(tag::SEQUENCE)?;
                while !extensions.is_empty() {
                    certificate.note(extensions.enter(tag::SEQUENCE)?)?;
                }
            }
        }
        Ok(certificate)
    }

    /// Takes note of an extension.
    fn note(&mut self, mut extension: Reader<'_>) -> Result<(), Malformed> {
        let identifier = extension.expect(tag::OBJECT_IDENTIFIER)?;
        let critical = is_true(extension.optional(tag::BOOLEAN)?);
        let mut value = Reader::new(extension.expect(tag::OCTET_STRING)?);
        match identifier {
            BASIC_CONSTRAINTS => {
                let said = value.enter(tag::SEQUENCE)?.optional(tag::BOOLEAN)?;
                self.is_authority = Some(is_true(said));
            }
            KEY_USAGE => {
                // The first byte counts the unused bits; the highest bit of the next is number 0.
                let bits = value.expect(tag::BIT_STRING)?;
                let first = bits.get(1).copied().unwrap_or(0);
                self.usage = Some(Usage {
                    digital_signature: first & 0x80 != 0,
                    certificate_sign: first & 0x04 != 0,
                    critical,
                });
            }
            EXTENDED_KEY_USAGE => {
                let mut purposes = value.enter(tag::SEQUENCE)?;
                let mut purpose = Purpose {
                    critical,
                    ..Purpose::default()
                };
                while !purposes.is_empty() {
                    match purposes.expect(tag::OBJECT_IDENTIFIER)? {
                        SERVER_PURPOSE => purpose.server = true,
                        CLIENT_PURPOSE => purpose.client = true,
                        ANY_PURPOSE => purpose.any = true,
                        _ => {}
                    }
                }
                self.purpose = Some(purpose);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A truth value, which is left out when it is false.
fn is_true(value: Option<&[u8]>) -> bool {
    matches!(value, Some([byte]) if *byte != 0)
}

/// A time in seconds since 1970: `YYMMDDhhmmssZ`, of the years 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn time(from: &mut Reader<'_>) -> Result<i64, Malformed> {
    let value = from.any()?;
    let text = std::str::from_utf8(value.content).map_err(|_| Malformed)?;
    let (year_digits, text) = match (value.tag, text.len()) {
        (tag::UTC_TIME, 13) => text.split_at_checked(2),
        (tag::GENERALIZED_TIME, 15) => text.split_at_checked(4),
        _ => None,
    }
    .ok_or(Malformed)?;
    let number = |digits: &str| -> Result<i64, Malformed> {
        let all = digits.bytes().all(|digit| digit.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten().ok_or(Malformed)
    };
    let year = match (year_digits.len(), number(year_digits)?) {
        (2, year @ ..50) => 2000 + year,
        (2, year) => 1900 + year,
        (_, year) => year,
    };
    let field = |at: usize| text.get(at..at + 2).ok_or(Malformed).and_then(number);
    let (month, day) = (field(0)?, field(2)?);
    let (hour, minute, second) = (field(4)?, field(6)?, field(8)?);
    let is_sound = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && text.ends_with('Z');
    if !is_sound {
        return Err(Malformed);
    }
    Ok(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Counted from 1 March of the year 0, so that the leap day is the last of its year.
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
    use super::super::der::write;
    use super::*;
    use proptest::prelude::*;

    fn read_time(kind: u8, text: &str) -> Result<i64, Malformed> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, text.as_bytes());
        time(&mut Reader::new(&bytes))
    }

    #[test]
    fn times_are_seconds_since_1970() {
        for (kind, text, seconds) in [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "691231235959Z", -1),
            (tag::UTC_TIME, "240229120000Z", 1_709_208_000),
            (tag::UTC_TIME, "491231235959Z", 2_524_607_999),
            (tag::GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (tag::GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(read_time(kind, text), Ok(seconds), "{text}");
        }
        for text in [
            "7001010000Z",
            "701301000000Z",
            "70010100000éZ",
            "+00101000000Z",
        ] {
            assert_eq!(read_time(tag::UTC_TIME, text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Certificate::read(&bytes);
        }

        #[test]
        fn any_time_is_read_without_a_panic(text: String) {
            for kind in [tag::UTC_TIME, tag::GENERALIZED_TIME] {
                if text.len() < 100 {
                    let _ = read_time(kind, &text);
                }
            }
        }
    }
}
