use super::super::der::write_element;
use super::*;
use proptest::prelude::*;

const CN: &[u8] = &[0x55, 4, 3];
const O: &[u8] = &[0x55, 4, 10];
const C: &[u8] = &[0x55, 4, 6];
const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 1];
const INN: &[u8] = &[0x2a, 0x85, 3, 3, 0x81, 3, 1, 1];
const UNKNOWN: &[u8] = &[0x2a, 3, 4];

/// Object identifier, tag and content of an attribute.
type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

/// Encodes the content of a subject's SEQUENCE.
fn subject(names: &[&[Attribute<'_>]]) -> Vec<u8> {
    let mut subject = Vec::new();
    for attributes in names {
        let mut set = Vec::new();
        for (oid, kind, value) in *attributes {
            let mut attribute = Vec::new();
            write_element(&mut attribute, tag::OBJECT_IDENTIFIER, oid);
            write_element(&mut attribute, *kind, value);
            write_element(&mut set, tag::SEQUENCE, &attribute);
        }
        write_element(&mut subject, tag::SET, &set);
    }
    subject
}

fn name_of(oid: &[u8], kind: u8, value: &[u8]) -> Option<String> {
    distinguished_name(&subject(&[&[(oid, kind, value)]]))
}

/// The expected texts are the output of `virt-pki-query-dn` from libvirt 9.0.0 for certificates
/// with these subjects.
#[test]
fn names_have_the_form_of_gnutls() {
    let utf_16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    for (oid, kind, value, expected) in [
        (CN, tag::UTF8_STRING, &b"client1"[..], "CN=client1"),
        (CN, tag::UTF8_STRING, "tést€😀".as_bytes(), "CN=tést€😀"),
        (CN, tag::UTF8_STRING, b"a=b", "CN=a=b"),
        (CN, tag::UTF8_STRING, b"a\nb", "CN=a\nb"),
        (CN, tag::UTF8_STRING, b" ", r"CN=\ "),
        (CN, tag::UTF8_STRING, b"  ", r"CN=\ \ "),
        (CN, tag::UTF8_STRING, b"   ", r"CN=\  \ "),
        (CN, tag::UTF8_STRING, b"  a  ", r"CN=\  a \ "),
        (CN, tag::UTF8_STRING, b"#a", r"CN=\#a"),
        (CN, tag::UTF8_STRING, b"##", r"CN=\##"),
        (CN, tag::UTF8_STRING, b"a#b", "CN=a#b"),
        (
            CN,
            tag::UTF8_STRING,
            b"a+b\"c\\d<e>f;g",
            r#"CN=a\+b\"c\\d\<e\>f\;g"#,
        ),
        (CN, tag::UTF8_STRING, b"a\0b", "CN=#0c03610062"),
        (CN, tag::UTF8_STRING, b"*?[", "CN=*?["),
        (CN, tag::PRINTABLE_STRING, b"a_b@*", "CN=a_b@*"),
        (CN, tag::TELETEX_STRING, b"a,b", r"CN=a\,b"),
        (CN, tag::TELETEX_STRING, b"a\xe9b", r"CN=\#61e962"),
        (CN, tag::TELETEX_STRING, b"a\0b", r"CN=\#610062"),
        (CN, tag::BMP_STRING, &utf_16("é,€"), r"CN=é\,€"),
        (CN, tag::BMP_STRING, &utf_16("😀"), "CN=😀"),
        (CN, tag::BMP_STRING, &utf_16("a\0b"), "CN=#1e06006100000062"),
        (CN, tag::BMP_STRING, &[0xd8, 0], r"CN=\#d800"),
        (
            CN,
            tag::UNIVERSAL_STRING,
            &[0, 1, 0xf6, 0],
            r"CN=\#0001f600",
        ),
        (CN, tag::IA5_STRING, b"ab", "CN=#16026162"),
        (CN, tag::NUMERIC_STRING, b"12", "CN=#12023132"),
        (CN, 0x1a, b"ab", "CN=#1a026162"),
        (CN, tag::INTEGER, &[1], "CN=#020101"),
        (C, tag::PRINTABLE_STRING, b"GB", "C=GB"),
        (C, tag::UTF8_STRING, b"GB", "C=#0c024742"),
        (EMAIL, tag::IA5_STRING, b"a@b.c", "EMAIL=a@b.c"),
        (EMAIL, tag::IA5_STRING, b"", "EMAIL=#1600"),
        (EMAIL, tag::IA5_STRING, b"a\0b", "EMAIL=#1603610062"),
        (EMAIL, tag::UTF8_STRING, b"ab", "EMAIL=#0c026162"),
        (INN, tag::NUMERIC_STRING, b"1,2", r"INN=1\,2"),
        (INN, tag::PRINTABLE_STRING, b"AB", "INN=#13024142"),
        (UNKNOWN, tag::UTF8_STRING, b"ab", "1.2.3.4=#0c026162"),
        (
            &[0x88, 0x37, 1],
            tag::UTF8_STRING,
            b"ab",
            "2.999.1=#0c026162",
        ),
    ] {
        let name = name_of(oid, kind, value);
        assert_eq!(name.as_deref(), Some(expected), "{kind:#x} {value:02x?}");
    }
}

#[test]
fn attributes_keep_the_encoded_order() {
    let text = tag::UTF8_STRING;
    let several = subject(&[&[(C, tag::PRINTABLE_STRING, b"GB")], &[(O, text, b"x")]]);
    assert_eq!(distinguished_name(&several).unwrap(), "C=GB,O=x");
    let together = subject(&[&[(CN, text, b"a"), (O, text, b"b")], &[(O, text, b"c")]]);
    assert_eq!(distinguished_name(&together).unwrap(), "CN=a+O=b,O=c");
}

/// GnuTLS rejects these names, or fails an assertion of its own.
#[test]
fn empty_or_malformed_name_is_none() {
    assert_eq!(distinguished_name(&[]), None);
    assert_eq!(distinguished_name(&subject(&[&[]])), None);
    assert_eq!(name_of(CN, tag::UTF8_STRING, b""), None);
    assert_eq!(name_of(&[], tag::UTF8_STRING, b"a"), None);
    assert_eq!(name_of(&[0x80], tag::UTF8_STRING, b"a"), None);
    assert_eq!(name_of(&[0xff; 12], tag::UTF8_STRING, b"a"), None);
}

#[test]
fn non_utf8_text_is_hexadecimal() {
    let name = name_of(CN, tag::UTF8_STRING, b"a\xff");
    assert_eq!(name.as_deref(), Some("CN=#0c0261ff"));
}

proptest! {
    /// An unescaped separator would let a value pass for two attributes.
    #[test]
    fn value_cannot_forge_a_separator(value in "[ -~]{1,20}") {
        let name = name_of(CN, tag::UTF8_STRING, value.as_bytes()).unwrap();
        let mut unescaped = 0;
        let mut characters = name.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => drop(characters.next()),
                ',' | '+' => unescaped += 1,
                _ => {}
            }
        }
        prop_assert_eq!(unescaped, 0, "{}", name);
    }

    #[test]
    fn name_of_any_bytes_does_not_panic(bytes: Vec<u8>) {
        let text = distinguished_name(&bytes);
        prop_assert!(text.is_none_or(|text| text.len() <= 24 * bytes.len()));
    }
}
