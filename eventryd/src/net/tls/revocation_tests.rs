//! Tests of revocation lists.

use super::*;

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_element(&mut bytes, tag, content);
    bytes
}

/// Returns a list without a signature, which is valid for a year.
fn list(issuer: &[u8], year: u8, more: &[u8]) -> Vec<u8> {
    let date = |year: u8| element(tag::UTC_TIME, format!("{year:02}0101000000Z").as_bytes());
    let fields = [
        element(tag::INTEGER, &[1]),
        element(tag::SEQUENCE, b"algorithm"),
        element(tag::SEQUENCE, issuer),
        date(year),
        date(year + 1),
        more.to_vec(),
    ];
    let tbs = element(tag::SEQUENCE, &fields.concat());
    element(tag::SEQUENCE, &tbs)
}

/// An extension that names an issuing distribution point, as far as the tests need it.
fn partial() -> Vec<u8> {
    element(tag::OBJECT_IDENTIFIER, ISSUING_DISTRIBUTION_POINT)
}

#[test]
fn fields_of_a_list_are_read() {
    let der = list(b"CA", 21, &[]);
    let expected = RevocationListFields {
        issuer: b"CA",
        this_update: 1_609_459_200,
        next_update: 1_640_995_200,
        is_partial: false,
    };
    assert_eq!(RevocationListFields::read(&der), Ok(expected));
    let der = list(b"CA", 21, &partial());
    assert!(RevocationListFields::read(&der).unwrap().is_partial);
    assert_eq!(RevocationListFields::read(&der[1..]), Err(Malformed));
}

#[test]
fn newest_list_of_each_issuer_is_kept() {
    let [old, new, other] = [
        list(b"A", 20, &[]),
        list(b"A", 21, &[]),
        list(b"B", 19, &[]),
    ];
    let lists = vec![old.clone(), other.clone(), new.clone()];
    assert_eq!(newest_lists(lists), [new.clone(), other.clone()]);
    let lists = vec![new.clone(), old.clone(), other.clone()];
    assert_eq!(newest_lists(lists), [new.clone(), other]);
    assert_eq!(newest_lists(vec![new.clone(), new.clone()]), [new]);
    assert_eq!(newest_lists(vec![old.clone()]), [old]);
}

#[test]
fn partial_and_malformed_lists_are_kept() {
    let [old, new] = [20, 21].map(|year| list(b"A", year, &partial()));
    let malformed = b"no list".to_vec();
    let kept = newest_lists(vec![
        malformed.clone(),
        old.clone(),
        new.clone(),
        malformed.clone(),
    ]);
    assert_eq!(kept, [new, old, malformed.clone(), malformed]);
}

#[test]
fn list_that_rustls_rejects_is_named_with_its_path() {
    let error = parse_lists(&[list(b"A", 20, &[])], Some(Path::new("/a.crl"))).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("certificate revocation list in /a.crl"),
        "{text}"
    );
    assert!(text.contains("must be of version 2"), "{text}");
    assert!(parse_lists(&[] as &[Vec<u8>], None).unwrap().is_empty());
}
