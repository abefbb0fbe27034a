//! Parser for the fields of a certificate that rustls-webpki does not expose.
//!
//! rustls-webpki verifies the chain and its signatures. It ignores the key usage, keeps no dates of
//! trust anchors, and does not report if an extension is critical.

use super::date::read_date;
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

/// The fields that every version of X.509 has. The others are not parsed.
#[derive(Clone, Copy, Debug)]
pub(super) struct CertificateHead<'a> {
    /// Content of the subject's SEQUENCE.
    pub(super) subject: &'a [u8],
    /// Encoded SubjectPublicKeyInfo.
    pub(super) public_key: &'a [u8],
    validity: DerReader<'a>,
    rest: DerReader<'a>,
}

impl<'a> CertificateHead<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = DerReader::new(der);
        let mut fields = outer
            .expect_nested(tag::SEQUENCE)?
            .expect_nested(tag::SEQUENCE)?;
        fields.optional(tag::context(0))?;
        fields.expect(tag::INTEGER)?;
        fields.expect(tag::SEQUENCE)?;
        fields.expect(tag::SEQUENCE)?;
        let validity = fields.expect_nested(tag::SEQUENCE)?;
        let subject = fields.expect(tag::SEQUENCE)?;
        let public_key = fields.read_element()?.encoded;
        Ok(CertificateHead {
            subject,
            public_key,
            validity,
            rest: fields,
        })
    }
}

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let CertificateHead {
            subject,
            mut validity,
            rest: mut fields,
            ..
        } = CertificateHead::read(der)?;
        let mut certificate = Certificate {
            not_before: read_date(&mut validity)?,
            not_after: read_date(&mut validity)?,
            subject,
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

#[cfg(test)]
mod tests {
    use super::super::der::write_element;
    use super::*;
    use proptest::prelude::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_element(&mut bytes, tag, content);
        bytes
    }

    fn extension(oid: &[u8], critical: Option<u8>, value: &[u8]) -> Vec<u8> {
        let mut content = element(tag::OBJECT_IDENTIFIER, oid);
        if let Some(flag) = critical {
            content.extend(element(tag::BOOLEAN, &[flag]));
        }
        content.extend(element(tag::OCTET_STRING, value));
        element(tag::SEQUENCE, &content)
    }

    fn certificate(extensions: &[Vec<u8>]) -> Vec<u8> {
        let dates = ["200101000000Z", "210101000000Z"];
        let dates = dates.map(|date| element(tag::UTC_TIME, date.as_bytes()));
        let fields = [
            element(tag::context(0), &[2, 1, 2]),
            element(tag::INTEGER, &[9]),
            element(tag::SEQUENCE, b"algorithm"),
            element(tag::SEQUENCE, b"issuer"),
            element(tag::SEQUENCE, &dates.concat()),
            element(tag::SEQUENCE, b"subject"),
            element(tag::SEQUENCE, b"key"),
            element(
                tag::context(3),
                &element(tag::SEQUENCE, &extensions.concat()),
            ),
        ];
        let tbs = element(tag::SEQUENCE, &fields.concat());
        element(tag::SEQUENCE, &tbs)
    }

    const WITHOUT_EXTENSIONS: Certificate<'_> = Certificate {
        subject: b"subject",
        not_before: 1_577_836_800,
        not_after: 1_609_459_200,
        is_ca: None,
        key_usage: None,
        extended_key_usage: None,
    };

    #[test]
    fn certificate_without_extensions_has_only_its_fields() {
        let der = certificate(&[]);
        assert_eq!(Certificate::read(&der), Ok(WITHOUT_EXTENSIONS));
        let other = certificate(&[extension(&[0x55, 0x1d, 17], None, b"names")]);
        assert_eq!(Certificate::read(&other), Ok(WITHOUT_EXTENSIONS));
        assert_eq!(Certificate::read(&der[..der.len() - 1]), Err(Malformed));
    }

    #[test]
    fn head_is_read_before_malformed_extensions() {
        let der = certificate(&[vec![tag::NUMERIC_STRING, 0]]);
        assert_eq!(Certificate::read(&der), Err(Malformed));
        let head = CertificateHead::read(&der).unwrap();
        assert_eq!(head.subject, b"subject");
        assert_eq!(head.public_key, element(tag::SEQUENCE, b"key"));
    }

    #[test]
    fn basic_constraints_tell_a_ca() {
        for (content, is_ca) in [
            (&[][..], false),
            (&[1, 1, 0], false),
            (&[1, 1, 0xff], true),
            (&[1, 1, 1], true),
            // A BOOLEAN of two bytes is not one.
            (&[1, 2, 0xff, 0xff], false),
            (&[2, 1, 1], false),
        ] {
            let value = element(tag::SEQUENCE, content);
            let der = certificate(&[extension(BASIC_CONSTRAINTS, Some(0xff), &value)]);
            let found = Certificate::read(&der).unwrap();
            assert_eq!(found.is_ca, Some(is_ca), "{content:?}");
        }
    }

    #[test]
    fn key_usage_has_its_bits_and_is_critical() {
        for (bits, digital_signature, certificate_sign) in [
            (&[0][..], false, false),
            (&[7, 0x80], true, false),
            (&[2, 0x04], false, true),
            (&[2, 0x84], true, true),
            (&[0, 0x7b], false, false),
            (&[0, 0x00, 0x84], false, false),
        ] {
            for critical in [None, Some(0), Some(0xff)] {
                let value = element(tag::BIT_STRING, bits);
                let der = certificate(&[extension(KEY_USAGE, critical, &value)]);
                let expected = KeyUsage {
                    digital_signature,
                    certificate_sign,
                    critical: critical == Some(0xff),
                };
                let found = Certificate::read(&der).unwrap();
                assert_eq!(found.key_usage, Some(expected), "{bits:?}");
            }
        }
    }

    #[test]
    fn extended_key_usage_has_its_purposes() {
        let purposes = [SERVER_AUTH, CLIENT_AUTH, ANY_EXTENDED_KEY_USAGE, b"other"];
        for present in 0_u8..16 {
            let has = |index: usize| present & (1 << index) != 0;
            let oids = (0..4).filter(|index| has(*index));
            let oids = oids.map(|index| element(tag::OBJECT_IDENTIFIER, purposes[index]));
            let value = element(tag::SEQUENCE, &oids.collect::<Vec<_>>().concat());
            let critical = has(0).then_some(0xff);
            let der = certificate(&[extension(EXTENDED_KEY_USAGE, critical, &value)]);
            let expected = ExtendedKeyUsage {
                server: has(0),
                client: has(1),
                any: has(2),
                critical: has(0),
            };
            let found = Certificate::read(&der).unwrap();
            assert_eq!(found.extended_key_usage, Some(expected));
        }
    }

    proptest! {
        #[test]
        fn certificate_of_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let _ = Certificate::read(&bytes);
        }
    }
}
