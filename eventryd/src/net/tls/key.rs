//! Private keys in the files of `certtool` and `openssl`.

use super::der::{DerReader, Malformed, tag, write_element};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P_384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
const P_521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];

/// The length of the scalar on the longest supported curve, P-521.
const MAX_SCALAR_LEN: usize = 66;

/// The smallest length of an RSA key in bits that the cryptography libraries sign with.
const MIN_RSA_BITS: usize = 2048;

/// Returns the largest length of an RSA key in bits that the cryptography library of this build signs with.
const fn max_rsa_bits() -> usize {
    if cfg!(feature = "tls-aws-lc") {
        8192
    } else {
        4096
    }
}

/// Returns the reason why rustls cannot use a key that it has rejected, and what to do; `None` for
/// a key without a known reason.
pub(super) fn unsupported_key(key: &PrivateKeyDer<'_>) -> Option<String> {
    unsupported_length(key).or_else(|| unsupported_kind(key).map(str::to_owned))
}

/// Returns the reason for an RSA key of a length that rustls does not support.
fn unsupported_length(key: &PrivateKeyDer<'_>) -> Option<String> {
    let bits = match key {
        PrivateKeyDer::Pkcs1(key) => rsa_bits(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8_rsa_key(key.secret_pkcs8_der()).and_then(rsa_bits),
        _ => return None,
    };
    let bits = bits.ok()?;
    let (limit, kind) = if bits < MIN_RSA_BITS {
        (format!("at least {MIN_RSA_BITS} are needed"), "longer")
    } else if bits > max_rsa_bits() {
        (
            format!("at most {} are supported", max_rsa_bits()),
            "shorter",
        )
    } else {
        return None;
    };
    Some(format!(
        "it is RSA with {bits} bits; {limit}; create a {kind} key, such as by `openssl genpkey -algorithm RSA \
         -pkeyopt rsa_keygen_bits:3072`, and a certificate for it"
    ))
}

/// Returns the RSA key inside PKCS #8.
fn pkcs8_rsa_key(der: &[u8]) -> Result<&[u8], Malformed> {
    let mut fields = DerReader::new(der).expect_nested(tag::SEQUENCE)?;
    fields.expect(tag::INTEGER)?;
    let mut algorithm = fields.expect_nested(tag::SEQUENCE)?;
    if algorithm.expect(tag::OBJECT_IDENTIFIER)? != RSA {
        return Err(Malformed);
    }
    fields.expect(tag::OCTET_STRING)
}

/// Returns the length of the modulus of an RSA key in bits.
fn rsa_bits(der: &[u8]) -> Result<usize, Malformed> {
    let mut fields = DerReader::new(der).expect_nested(tag::SEQUENCE)?;
    fields.expect(tag::INTEGER)?;
    let modulus = fields.expect(tag::INTEGER)?;
    let start = modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = &modulus[start..];
    let unused = digits.first().map_or(0, |first| first.leading_zeros());
    Ok(digits.len() * 8 - unused as usize)
}

fn unsupported_kind(key: &PrivateKeyDer<'_>) -> Option<&'static str> {
    let kind = match key {
        PrivateKeyDer::Pkcs8(key) => pkcs8_kind(key.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(key) => sec1_curve(key.secret_sec1_der()),
        _ => return None,
    };
    match kind {
        Ok(P_521) if cfg!(not(feature = "tls-aws-lc")) => Some(
            "the key is P-521, which the default build does not support; build with --features \
             tls-aws-lc",
        ),
        // rustls has no signature scheme rsa_pss_pss_*, which such a key requires in TLS.
        Ok(RSA_PSS) => Some(
            "the key is restricted to RSA-PSS (id-RSASSA-PSS), which rustls does not support; use an \
             RSA key without that restriction (rsaEncryption), which TLS 1.3 signs with RSA-PSS too",
        ),
        _ => None,
    }
}

/// Returns the curve of an elliptic-curve key inside PKCS #8, and the algorithm of any other key.
fn pkcs8_kind(der: &[u8]) -> Result<&[u8], Malformed> {
    let mut fields = DerReader::new(der).expect_nested(tag::SEQUENCE)?;
    fields.expect(tag::INTEGER)?;
    let mut algorithm = fields.expect_nested(tag::SEQUENCE)?;
    match algorithm.expect(tag::OBJECT_IDENTIFIER)? {
        EC_PUBLIC_KEY => algorithm.expect(tag::OBJECT_IDENTIFIER),
        other => Ok(other),
    }
}

/// Returns the curve that a SEC1 key contains.
fn sec1_curve(der: &[u8]) -> Result<&[u8], Malformed> {
    let mut fields = DerReader::new(der).expect_nested(tag::SEQUENCE)?;
    fields.expect(tag::INTEGER)?;
    fields.expect(tag::OCTET_STRING)?;
    let curve = fields.optional(tag::context(0))?.ok_or(Malformed)?;
    DerReader::new(curve).expect(tag::OBJECT_IDENTIFIER)
}

/// Parses the first private key of a PEM file.
///
/// RFC 5915 requires the scalar of an elliptic-curve key to be as long as its curve. GnuTLS
/// prepends a zero byte if the highest bit is set, and omits leading zero bytes. rustls rejects
/// both, so the scalar is normalized here.
pub(super) fn parse_private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, pem::Error> {
    let key = PrivateKeyDer::from_pem_slice(text)?;
    let normalized = match &key {
        PrivateKeyDer::Sec1(key) => normalize_sec1(key.secret_sec1_der(), None)
            .map(|bytes| PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(bytes))),
        PrivateKeyDer::Pkcs8(key) => normalize_pkcs8(key.secret_pkcs8_der())
            .map(|bytes| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes))),
        _ => Err(Malformed),
    };
    // rustls reports the error of a key that cannot be normalized.
    Ok(normalized.unwrap_or(key))
}

/// Normalizes an elliptic-curve key inside PKCS #8.
fn normalize_pkcs8(der: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut fields = DerReader::new(der).expect_nested(tag::SEQUENCE)?;
    let version = fields.read_element()?;
    let algorithm = fields.read_element()?;
    let mut parameters = DerReader::new(algorithm.content);
    if parameters.expect(tag::OBJECT_IDENTIFIER)? != EC_PUBLIC_KEY {
        return Err(Malformed);
    }
    let curve = parameters.expect(tag::OBJECT_IDENTIFIER)?;
    let key = normalize_sec1(fields.expect(tag::OCTET_STRING)?, Some(curve))?;
    let mut content = [version.encoded, algorithm.encoded].concat();
    write_element(&mut content, tag::OCTET_STRING, &key);
    let mut normalized = Vec::new();
    write_element(&mut normalized, tag::SEQUENCE, &content);
    Ok(normalized)
}

/// Gives the scalar of an elliptic-curve key the length of its curve.
fn normalize_sec1(der: &[u8], curve: Option<&[u8]>) -> Result<Vec<u8>, Malformed> {
    let mut fields = DerReader::new(der).expect_nested(tag::SEQUENCE)?;
    let version = fields.read_element()?;
    let scalar = fields.expect(tag::OCTET_STRING)?;
    let mut rest = Vec::new();
    let mut embedded_curve = None;
    while !fields.is_empty() {
        let field = fields.read_element()?;
        if field.tag == tag::context(0) {
            embedded_curve = Some(DerReader::new(field.content).expect(tag::OBJECT_IDENTIFIER)?);
        }
        rest.extend_from_slice(field.encoded);
    }
    let length = match embedded_curve.or(curve) {
        Some(P_256) => 32,
        Some(P_384) => 48,
        Some(P_521) => MAX_SCALAR_LEN,
        _ => return Err(Malformed),
    };
    let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
    let digits = &scalar[zeros..];
    let padding = length - digits.len().min(length);
    let scalar = [&[0; MAX_SCALAR_LEN][..padding], digits].concat();
    if scalar.len() != length {
        return Err(Malformed);
    }
    let mut content = version.encoded.to_vec();
    write_element(&mut content, tag::OCTET_STRING, &scalar);
    content.extend(rest);
    let mut normalized = Vec::new();
    write_element(&mut normalized, tag::SEQUENCE, &content);
    Ok(normalized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::PrivatePkcs1KeyDer;

    /// Encodes a SEC1 key of P-256 with this scalar.
    fn key_with(scalar: &[u8]) -> Vec<u8> {
        let mut content = vec![2, 1, 1];
        write_element(&mut content, tag::OCTET_STRING, scalar);
        let mut curve = Vec::new();
        write_element(&mut curve, tag::OBJECT_IDENTIFIER, P_256);
        write_element(&mut content, tag::context(0), &curve);
        let mut key = Vec::new();
        write_element(&mut key, tag::SEQUENCE, &content);
        key
    }

    #[test]
    fn scalar_is_padded_or_trimmed_to_the_curve_length() {
        let expected = key_with(&[0xc3; 32]);
        assert_eq!(normalize_sec1(&expected, None), Ok(expected.clone()));
        let padded = [&[0][..], &[0xc3; 32]].concat();
        assert_eq!(normalize_sec1(&key_with(&padded), None), Ok(expected));
        let expected = [&[0][..], &[0x43; 31]].concat();
        assert_eq!(
            normalize_sec1(&key_with(&[0x43; 31]), None),
            Ok(key_with(&expected))
        );
    }

    #[test]
    fn scalar_too_large_for_its_curve_is_malformed() {
        assert_eq!(normalize_sec1(&key_with(&[0xc3; 33]), None), Err(Malformed));
        assert_eq!(normalize_sec1(&key_with(&[1; 200]), None), Err(Malformed));
    }

    #[test]
    fn key_inside_pkcs8_is_normalized() {
        let mut identifiers = Vec::new();
        write_element(&mut identifiers, tag::OBJECT_IDENTIFIER, EC_PUBLIC_KEY);
        write_element(&mut identifiers, tag::OBJECT_IDENTIFIER, P_256);
        let enclosed_in = |key: &[u8]| {
            let mut content = vec![2, 1, 0];
            write_element(&mut content, tag::SEQUENCE, &identifiers);
            write_element(&mut content, tag::OCTET_STRING, key);
            let mut whole = Vec::new();
            write_element(&mut whole, tag::SEQUENCE, &content);
            whole
        };
        let padded = [&[0][..], &[0xc3; 32]].concat();
        let normalized = normalize_pkcs8(&enclosed_in(&key_with(&padded)));
        assert_eq!(normalized, Ok(enclosed_in(&key_with(&[0xc3; 32]))));
    }

    #[test]
    fn rejected_key_of_a_known_kind_names_what_to_do() {
        let element = |tag: u8, content: &[u8]| {
            let mut bytes = Vec::new();
            write_element(&mut bytes, tag, content);
            bytes
        };
        let oid = |oid: &[u8]| element(tag::OBJECT_IDENTIFIER, oid);
        let pkcs8 = |algorithm: &[&[u8]]| {
            let algorithm: Vec<Vec<u8>> = algorithm.iter().map(|part| oid(part)).collect();
            let algorithm = element(tag::SEQUENCE, &algorithm.concat());
            let content = [&[2, 1, 0][..], &algorithm].concat();
            let der = element(tag::SEQUENCE, &content);
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))
        };
        let sec1 = |curve: &[u8]| {
            let curve = element(tag::context(0), &oid(curve));
            let content = [&[2, 1, 1, 4, 1, 9][..], &curve].concat();
            let der = element(tag::SEQUENCE, &content);
            PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der))
        };
        let needs_feature = cfg!(not(feature = "tls-aws-lc")).then_some("--features");
        for (key, expected) in [
            (pkcs8(&[EC_PUBLIC_KEY, P_521]), needs_feature),
            (sec1(P_521), needs_feature),
            (pkcs8(&[EC_PUBLIC_KEY, P_384]), None),
            (sec1(P_256), None),
            (pkcs8(&[RSA_PSS]), Some("rsaEncryption")),
            (pkcs8(&[b"other"]), None),
            (pkcs8(&[RSA]), None),
            (pkcs8(&[]), None),
        ] {
            let found = unsupported_key(&key);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.is_none_or(|text| text.contains(expected.unwrap())));
        }
    }

    /// Encodes an RSA key with this modulus, without the other numbers.
    fn rsa_key(modulus: &[u8]) -> Vec<u8> {
        let mut content = vec![2, 1, 0];
        write_element(&mut content, tag::INTEGER, modulus);
        let mut key = Vec::new();
        write_element(&mut key, tag::SEQUENCE, &content);
        key
    }

    #[test]
    fn rsa_key_of_an_unsupported_length_names_the_limit() {
        let too_long = max_rsa_bits() + 8;
        for (modulus, expected) in [
            (
                [&[0, 0x80][..], &[7; 127]].concat(),
                "RSA with 1024 bits; at least 2048",
            ),
            (
                [&[0, 0x80][..], &[7; 126]].concat(),
                "RSA with 1016 bits; at least 2048",
            ),
            (vec![0x7f; 256], "RSA with 2047 bits; at least 2048"),
            (vec![0x01], "RSA with 1 bits; at least 2048"),
            (vec![], "RSA with 0 bits; at least 2048"),
            (
                [&[0, 0x80][..], &vec![7; too_long / 8 - 1]].concat(),
                &*format!("RSA with {too_long} bits; at most {}", max_rsa_bits()),
            ),
            ([&[0, 0x80][..], &[7; 255]].concat(), ""),
            (
                [&[0, 0x80][..], &vec![7; max_rsa_bits() / 8 - 1]].concat(),
                "",
            ),
        ] {
            let pkcs1 = rsa_key(&modulus);
            let mut algorithm = Vec::new();
            write_element(&mut algorithm, tag::OBJECT_IDENTIFIER, RSA);
            let mut content = vec![2, 1, 0];
            write_element(&mut content, tag::SEQUENCE, &algorithm);
            write_element(&mut content, tag::OCTET_STRING, &pkcs1);
            let mut pkcs8 = Vec::new();
            write_element(&mut pkcs8, tag::SEQUENCE, &content);
            for key in [
                PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(pkcs1)),
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)),
            ] {
                let found = unsupported_key(&key).unwrap_or_default();
                assert!(found.contains(expected), "{expected}: {found}");
                assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
            }
        }
    }

    #[test]
    fn scalar_of_each_curve_gets_its_length() {
        for (curve, length) in [(P_256, 32), (P_384, 48), (P_521, 66)] {
            let mut without_curve = vec![2, 1, 1];
            write_element(&mut without_curve, tag::OCTET_STRING, &[7]);
            let mut key = Vec::new();
            write_element(&mut key, tag::SEQUENCE, &without_curve);
            let normalized = normalize_sec1(&key, Some(curve)).unwrap();
            let scalar = [vec![0; length - 1], vec![7]].concat();
            assert!(normalized.ends_with(&scalar));
            assert_eq!(normalized.len(), 2 + 3 + 2 + length);
        }
        assert_eq!(
            normalize_sec1(&key_with(&[7]), Some(P_384)),
            normalize_sec1(&key_with(&[7]), None)
        );
    }

    proptest! {
        #[test]
        fn key_of_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let _ = normalize_sec1(&bytes, Some(P_384));
            let _ = (normalize_pkcs8(&bytes), parse_private_key(&bytes));
            let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes.clone()));
            let pkcs1 = PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(bytes));
            let _ = (unsupported_key(&pkcs8), unsupported_key(&pkcs1));
        }
    }
}
