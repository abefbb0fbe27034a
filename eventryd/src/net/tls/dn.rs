//! Distinguished names as GnuTLS writes them, which is what libvirt compares its allow lists with (DM-1205).
//!
//! The form is not that of RFC 4514: attributes stand in the order in which they are encoded, some have names
//! of GnuTLS's own, and a value whose type does not fit its attribute is written in hexadecimal. Measured
//! against GnuTLS 3.7.9, whose answers are the test vectors.

use super::der::{Malformed, Reader, Value, tag};
use std::fmt::Write as _;

/// What the value of an attribute may be for its text to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Any of the types for text.
    Text,
    Printable,
    Ia5,
    Numeric,
    /// Never: it is shown in hexadecimal.
    Opaque,
}

/// The attributes that have a name, by their identifier.
const ATTRIBUTES: &[(&str, &str, Kind)] = &[
    ("2.5.4.3", "CN", Kind::Text),
    ("2.5.4.4", "surName", Kind::Text),
    ("2.5.4.5", "serialNumber", Kind::Printable),
    ("2.5.4.6", "C", Kind::Printable),
    ("2.5.4.7", "L", Kind::Text),
    ("2.5.4.8", "ST", Kind::Text),
    ("2.5.4.9", "street", Kind::Text),
    ("2.5.4.10", "O", Kind::Text),
    ("2.5.4.11", "OU", Kind::Text),
    ("2.5.4.12", "title", Kind::Text),
    ("2.5.4.13", "description", Kind::Text),
    ("2.5.4.15", "businessCategory", Kind::Text),
    ("2.5.4.17", "postalCode", Kind::Text),
    ("2.5.4.20", "telephoneNumber", Kind::Printable),
    ("2.5.4.41", "name", Kind::Text),
    ("2.5.4.42", "givenName", Kind::Text),
    ("2.5.4.43", "initials", Kind::Text),
    ("2.5.4.44", "generationQualifier", Kind::Text),
    ("2.5.4.46", "dnQualifier", Kind::Printable),
    ("2.5.4.65", "pseudonym", Kind::Text),
    ("0.9.2342.19200300.100.1.1", "UID", Kind::Text),
    ("0.9.2342.19200300.100.1.25", "DC", Kind::Ia5),
    ("1.2.840.113549.1.9.1", "EMAIL", Kind::Ia5),
    ("1.3.6.1.5.5.7.9.2", "placeOfBirth", Kind::Text),
    ("1.3.6.1.5.5.7.9.3", "gender", Kind::Printable),
    ("1.3.6.1.5.5.7.9.4", "countryOfCitizenship", Kind::Printable),
    ("1.3.6.1.5.5.7.9.5", "countryOfResidence", Kind::Printable),
    (
        "1.3.6.1.4.1.311.60.2.1.1",
        "jurisdictionOfIncorporationLocalityName",
        Kind::Text,
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.2",
        "jurisdictionOfIncorporationStateOrProvinceName",
        Kind::Text,
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.3",
        "jurisdictionOfIncorporationCountryName",
        Kind::Printable,
    ),
    ("1.2.643.3.131.1.1", "INN", Kind::Numeric),
    ("1.2.643.100.1", "OGRN", Kind::Numeric),
    ("1.2.643.100.3", "SNILS", Kind::Numeric),
    ("1.2.643.100.5", "OGRNIP", Kind::Numeric),
];

/// The text of a subject, given what its SEQUENCE encloses, or `None` if it is empty or malformed: such a
/// name is nobody's, and GnuTLS refuses it too.
///
/// Whatever the bytes, this does not panic, and what it returns is at most a few times as long. Text that
/// is not UTF-8 is written in hexadecimal; GnuTLS passes it on as it is.
///
/// ```
/// use eventryd::net::tls::distinguished_name;
///
/// // SET { SEQUENCE { 2.5.4.10, UTF8String "a,b" } }
/// let subject = [0x31, 12, 0x30, 10, 6, 3, 0x55, 4, 10, 12, 3, b'a', b',', b'b'];
/// assert_eq!(distinguished_name(&subject).as_deref(), Some(r"O=a\,b"));
/// assert_eq!(distinguished_name(&[]), None);
/// ```
#[must_use]
pub fn distinguished_name(subject: &[u8]) -> Option<String> {
    let mut text = String::new();
    write_name(&mut text, Reader::new(subject)).ok()?;
    (!text.is_empty()).then_some(text)
}

fn write_name(text: &mut String, mut names: Reader<'_>) -> Result<(), Malformed> {
    while !names.is_empty() {
        let mut attributes = names.enter(tag::SET)?;
        let mut separator = if text.is_empty() { "" } else { "," };
        if attributes.is_empty() {
            return Err(Malformed);
        }
        while !attributes.is_empty() {
            let mut attribute = attributes.enter(tag::SEQUENCE)?;
            let identifier = dotted(attribute.expect(tag::OBJECT_IDENTIFIER)?)?;
            let value = attribute.any()?;
            attribute.end()?;
            text.push_str(separator);
            write_attribute(text, &identifier, value)?;
            separator = "+";
        }
    }
    Ok(())
}

fn write_attribute(text: &mut String, identifier: &str, value: Value<'_>) -> Result<(), Malformed> {
    let known = ATTRIBUTES.iter().find(|(known, ..)| *known == identifier);
    let (name, kind) = known.map_or((identifier, Kind::Opaque), |(_, name, kind)| (*name, *kind));
    text.push_str(name);
    text.push('=');
    if kind == Kind::Text && value.content.is_empty() {
        return Err(Malformed);
    }
    match shown(kind, value) {
        Shown::Text(value) => escape(text, &value),
        // The number sign of what could not be converted is text, and escaped as such.
        Shown::Unconvertible => {
            text.push_str("\\#");
            hexadecimal(text, value.content);
        }
        Shown::Hexadecimal => {
            text.push('#');
            hexadecimal(text, value.whole);
        }
    }
    Ok(())
}

enum Shown {
    Text(String),
    Unconvertible,
    Hexadecimal,
}

fn shown(kind: Kind, value: Value<'_>) -> Shown {
    let is_text = kind == Kind::Text;
    let content = value.content;
    let fits = match value.tag {
        tag::UTF8_STRING | tag::TELETEX_STRING | tag::UNIVERSAL_STRING | tag::BMP_STRING => is_text,
        tag::PRINTABLE_STRING => is_text || kind == Kind::Printable,
        tag::IA5_STRING => kind == Kind::Ia5,
        tag::NUMERIC_STRING => kind == Kind::Numeric,
        _ => false,
    };
    if !fits || content.is_empty() {
        return Shown::Hexadecimal;
    }
    match value.tag {
        tag::UNIVERSAL_STRING => Shown::Unconvertible,
        tag::TELETEX_STRING if !content.is_ascii() || content.contains(&0) => Shown::Unconvertible,
        tag::BMP_STRING => {
            let units = content.chunks_exact(2);
            let rest = units.remainder();
            let units: Vec<u16> = units
                .map(|unit| u16::from_be_bytes([unit[0], unit[1]]))
                .collect();
            match String::from_utf16(&units) {
                Ok(text) if rest.is_empty() && text.contains('\0') => Shown::Hexadecimal,
                Ok(text) if rest.is_empty() => Shown::Text(text),
                _ => Shown::Unconvertible,
            }
        }
        _ => match std::str::from_utf8(content) {
            Ok(text) if !text.contains('\0') => Shown::Text(text.to_owned()),
            _ => Shown::Hexadecimal,
        },
    }
}

fn escape(text: &mut String, value: &str) {
    let last = value.len() - 1;
    for (at, character) in value.char_indices() {
        let special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if special {
            text.push('\\');
        }
        text.push(character);
    }
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

/// An object identifier in its usual form.
fn dotted(encoded: &[u8]) -> Result<String, Malformed> {
    let mut arcs = Vec::new();
    let mut arc: u64 = 0;
    for byte in encoded {
        if arc > u64::MAX >> 7 {
            return Err(Malformed);
        }
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(std::mem::take(&mut arc));
        }
    }
    let (Some(first), Some(0..0x80)) = (arcs.first().copied(), encoded.last()) else {
        return Err(Malformed);
    };
    // The first two are encoded as one.
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - 40 * root);
    for arc in &arcs[1..] {
        let _ = write!(text, ".{arc}");
    }
    Ok(text)
}

#[cfg(test)]
#[path = "dn_tests.rs"]
mod tests;
