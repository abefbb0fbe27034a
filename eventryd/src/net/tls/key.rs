//! Private keys as `certtool` and `openssl` write them.

use super::der::{Malformed, Reader, tag, write};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P_384: &[u8] = &[0x2b, 0x81, 4, 0, 34];

/// The first private key of a file in PEM.
///
/// The number in the key of an elliptic curve has as many bytes as its curve has. GnuTLS writes a zero before
/// it when its highest bit is set, and leaves zeros out; cryptographic libraries refuse both.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, pem::Error> {
    let key = PrivateKeyDer::from_pem_slice(text)?;
    let mended = match &key {
        PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der(), None)
            .map(|bytes| PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(bytes))),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der())
            .map(|bytes| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes))),
        _ => Err(Malformed),
    };
    // What is not of this kind, or not to be understood, is for others to judge.
    Ok(mended.unwrap_or(key))
}

/// The key of an elliptic curve that PKCS #8 encloses, with a number of the right length.
fn pkcs8(der: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut fields = Reader::new(der).enter(tag::SEQUENCE)?;
    let version = fields.any()?;
    let algorithm = fields.any()?;
    let mut parameters = Reader::new(algorithm.content);
    if parameters.expect(tag::OBJECT_IDENTIFIER)? != EC_PUBLIC_KEY {
        return Err(Malformed);
    }
    let curve = parameters.expect(tag::OBJECT_IDENTIFIER)?;
    let key = sec1(fields.expect(tag::OCTET_STRING)?, Some(curve))?;
    let mut content = [version.whole, algorithm.whole].concat();
    write(&mut content, tag::OCTET_STRING, &key);
    let mut mended = Vec::new();
    write(&mut mended, tag::SEQUENCE, &content);
    Ok(mended)
}

/// The key of an elliptic curve with a number of the right length.
fn sec1(der: &[u8], curve: Option<&[u8]>) -> Result<Vec<u8>, Malformed> {
    let mut fields = Reader::new(der).enter(tag::SEQUENCE)?;
    let version = fields.any()?;
    let number = fields.expect(tag::OCTET_STRING)?;
    let mut rest = Vec::new();
    let mut own_curve = None;
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag == tag::context(0) {
            own_curve = Some(Reader::new(field.content).expect(tag::OBJECT_IDENTIFIER)?);
        }
        rest.extend_from_slice(field.whole);
    }
    let length = match own_curve.or(curve) {
        Some(P_256) => 32,
        Some(P_384) => 48,
        _ => return Err(Malformed),
    };
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[zeros..];
    let padding = length - digits.len().min(length);
    let number = [&[0; 48][..padding], digits].concat();
    if number.len() != length {
        return Err(Malformed);
    }
    let mut content = version.whole.to_vec();
    write(&mut content, tag::OCTET_STRING, &number);
    content.extend(rest);
    let mut mended = Vec::new();
    write(&mut mended, tag::SEQUENCE, &content);
    Ok(mended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A SEC1 key of P-256 whose number is written in these bytes.
    fn key_with(number: &[u8]) -> Vec<u8> {
        let mut content = vec![2, 1, 1];
        write(&mut content, tag::OCTET_STRING, number);
        let mut curve = Vec::new();
        write(&mut curve, tag::OBJECT_IDENTIFIER, P_256);
        write(&mut content, tag::context(0), &curve);
        let mut key = Vec::new();
        write(&mut key, tag::SEQUENCE, &content);
        key
    }

    #[test]
    fn scalar_is_padded_or_trimmed_to_the_curve_length() {
        let sound = key_with(&[0xc3; 32]);
        assert_eq!(sec1(&sound, None), Ok(sound.clone()));
        let padded = [&[0][..], &[0xc3; 32]].concat();
        assert_eq!(sec1(&key_with(&padded), None), Ok(sound));
        let sound = [&[0][..], &[0x43; 31]].concat();
        assert_eq!(sec1(&key_with(&[0x43; 31]), None), Ok(key_with(&sound)));
    }

    #[test]
    fn a_number_that_is_too_large_for_its_curve_is_left_to_others() {
        assert_eq!(sec1(&key_with(&[0xc3; 33]), None), Err(Malformed));
        assert_eq!(sec1(&key_with(&[1; 200]), None), Err(Malformed));
    }

    #[test]
    fn a_key_inside_pkcs_8_is_mended_too() {
        let mut identifiers = Vec::new();
        write(&mut identifiers, tag::OBJECT_IDENTIFIER, EC_PUBLIC_KEY);
        write(&mut identifiers, tag::OBJECT_IDENTIFIER, P_256);
        let enclosed_in = |key: &[u8]| {
            let mut content = vec![2, 1, 0];
            write(&mut content, tag::SEQUENCE, &identifiers);
            write(&mut content, tag::OCTET_STRING, key);
            let mut whole = Vec::new();
            write(&mut whole, tag::SEQUENCE, &content);
            whole
        };
        let padded = [&[0][..], &[0xc3; 32]].concat();
        let mended = pkcs8(&enclosed_in(&key_with(&padded)));
        assert_eq!(mended, Ok(enclosed_in(&key_with(&[0xc3; 32]))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = (sec1(&bytes, Some(P_384)), pkcs8(&bytes), private_key(&bytes));
        }
    }
}
