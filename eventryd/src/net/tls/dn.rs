//! Distinguished names in the text form of GnuTLS, which libvirt compares with its allow lists
//! (DM-1205).
//!
//! The form differs from RFC 4514: attributes keep their encoded order, some have GnuTLS's own
//! names, and a value whose type does not suit its attribute is hexadecimal. The rules were
//! measured with GnuTLS 3.7.9, whose output is the test data.

use super::der::{DerReader, Element, Malformed, tag};
use std::fmt::Write as _;

/// The string types that are shown as text for an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    /// Any string type.
    Text,
    Printable,
    Ia5,
    Numeric,
    /// None: the value is always hexadecimal.
    Opaque,
}

/// Object identifier, name and syntax of the attributes that GnuTLS supports.
const ATTRIBUTES: &[(&str, &str, Syntax)] = &[
    ("2.5.4.3", "CN", Syntax::Text),
    ("2.5.4.4", "surName", Syntax::Text),
    ("2.5.4.5", "serialNumber", Syntax::Printable),
    ("2.5.4.6", "C", Syntax::Printable),
    ("2.5.4.7", "L", Syntax::Text),
    ("2.5.4.8", "ST", Syntax::Text),
    ("2.5.4.9", "street", Syntax::Text),
    ("2.5.4.10", "O", Syntax::Text),
    ("2.5.4.11", "OU", Syntax::Text),
    ("2.5.4.12", "title", Syntax::Text),
    ("2.5.4.13", "description", Syntax::Text),
    ("2.5.4.15", "businessCategory", Syntax::Text),
    ("2.5.4.17", "postalCode", Syntax::Text),
    ("2.5.4.20", "telephoneNumber", Syntax::Printable),
    ("2.5.4.41", "name", Syntax::Text),
    ("2.5.4.42", "givenName", Syntax::Text),
    ("2.5.4.43", "initials", Syntax::Text),
    ("2.5.4.44", "generationQualifier", Syntax::Text),
    ("2.5.4.46", "dnQualifier", Syntax::Printable),
    ("2.5.4.65", "pseudonym", Syntax::Text),
    ("0.9.2342.19200300.100.1.1", "UID", Syntax::Text),
    ("0.9.2342.19200300.100.1.25", "DC", Syntax::Ia5),
    ("1.2.840.113549.1.9.1", "EMAIL", Syntax::Ia5),
    ("1.3.6.1.5.5.7.9.2", "placeOfBirth", Syntax::Text),
    ("1.3.6.1.5.5.7.9.3", "gender", Syntax::Printable),
    (
        "1.3.6.1.5.5.7.9.4",
        "countryOfCitizenship",
        Syntax::Printable,
    ),
    ("1.3.6.1.5.5.7.9.5", "countryOfResidence", Syntax::Printable),
    (
        "1.3.6.1.4.1.311.60.2.1.1",
        "jurisdictionOfIncorporationLocalityName",
        Syntax::Text,
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.2",
        "jurisdictionOfIncorporationStateOrProvinceName",
        Syntax::Text,
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.3",
        "jurisdictionOfIncorporationCountryName",
        Syntax::Printable,
    ),
    ("1.2.643.3.131.1.1", "INN", Syntax::Numeric),
    ("1.2.643.100.1", "OGRN", Syntax::Numeric),
    ("1.2.643.100.3", "SNILS", Syntax::Numeric),
    ("1.2.643.100.5", "OGRNIP", Syntax::Numeric),
];

/// Returns the text form of a subject, given the content of its SEQUENCE; `None` if it is empty or
/// malformed. GnuTLS rejects such names too.
///
/// This does not panic for any bytes, and the text is at most 24 times as long as `subject`. A
/// string that is not valid UTF-8 is hexadecimal here; GnuTLS returns its bytes unchanged.
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
    write_name(&mut text, DerReader::new(subject)).ok()?;
    (!text.is_empty()).then_some(text)
}

fn write_name(text: &mut String, mut names: DerReader<'_>) -> Result<(), Malformed> {
    while !names.is_empty() {
        let mut attributes = names.expect_nested(tag::SET)?;
        let mut separator = if text.is_empty() { "" } else { "," };
        if attributes.is_empty() {
            return Err(Malformed);
        }
        while !attributes.is_empty() {
            let mut attribute = attributes.expect_nested(tag::SEQUENCE)?;
            let oid = format_oid(attribute.expect(tag::OBJECT_IDENTIFIER)?)?;
            let value = attribute.read_element()?;
            attribute.expect_end()?;
            text.push_str(separator);
            write_attribute(text, &oid, value)?;
            separator = "+";
        }
    }
    Ok(())
}

fn write_attribute(text: &mut String, oid: &str, value: Element<'_>) -> Result<(), Malformed> {
    let known = ATTRIBUTES.iter().find(|(known, ..)| *known == oid);
    let (name, syntax) = known.map_or((oid, Syntax::Opaque), |(_, name, syntax)| (*name, *syntax));
    text.push_str(name);
    text.push('=');
    if syntax == Syntax::Text && value.content.is_empty() {
        return Err(Malformed);
    }
    match render(syntax, value) {
        Rendering::Text(value) => write_escaped(text, &value),
        // GnuTLS escapes this number sign, because it treats the converted value as text.
        Rendering::Unconvertible => {
            text.push_str("\\#");
            write_hex(text, value.content);
        }
        Rendering::Hexadecimal => {
            text.push('#');
            write_hex(text, value.encoded);
        }
    }
    Ok(())
}

enum Rendering {
    Text(String),
    Unconvertible,
    Hexadecimal,
}

fn render(syntax: Syntax, value: Element<'_>) -> Rendering {
    let is_text = syntax == Syntax::Text;
    let content = value.content;
    let is_allowed = match value.tag {
        tag::UTF8_STRING | tag::TELETEX_STRING | tag::UNIVERSAL_STRING | tag::BMP_STRING => is_text,
        tag::PRINTABLE_STRING => is_text || syntax == Syntax::Printable,
        tag::IA5_STRING => syntax == Syntax::Ia5,
        tag::NUMERIC_STRING => syntax == Syntax::Numeric,
        _ => false,
    };
    if !is_allowed || content.is_empty() {
        return Rendering::Hexadecimal;
    }
    match value.tag {
        tag::UNIVERSAL_STRING => Rendering::Unconvertible,
        tag::TELETEX_STRING if !content.is_ascii() || content.contains(&0) => {
            Rendering::Unconvertible
        }
        tag::BMP_STRING => {
            let units = content.chunks_exact(2);
            let rest = units.remainder();
            let units: Vec<u16> = units
                .map(|unit| u16::from_be_bytes([unit[0], unit[1]]))
                .collect();
            match String::from_utf16(&units) {
                Ok(text) if rest.is_empty() && text.contains('\0') => Rendering::Hexadecimal,
                Ok(text) if rest.is_empty() => Rendering::Text(text),
                _ => Rendering::Unconvertible,
            }
        }
        _ => match std::str::from_utf8(content) {
            Ok(text) if !text.contains('\0') => Rendering::Text(text.to_owned()),
            _ => Rendering::Hexadecimal,
        },
    }
}

fn write_escaped(text: &mut String, value: &str) {
    let last = value.len() - 1;
    for (at, character) in value.char_indices() {
        let needs_escape = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if needs_escape {
            text.push('\\');
        }
        text.push(character);
    }
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

/// Formats an object identifier in dotted notation.
fn format_oid(encoded: &[u8]) -> Result<String, Malformed> {
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
    // The first byte encodes the first two arcs.
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
