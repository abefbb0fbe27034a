//! Arbitrary bytes as the subject of a certificate: the name has no forged separators.
//!
//! The name is also matched with patterns: the whole name, and its first half with a star.

#![no_main]

use eventryd::auth::matches_glob;
use eventryd::net::tls::distinguished_name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|subject: &[u8]| {
    let Some(name) = distinguished_name(subject) else {
        return;
    };
    assert!(name.len() <= 24 * subject.len(), "{name:?}");
    // An attribute's name and an equals sign follow a separator that is not escaped.
    let mut attributes = 1;
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            ',' | '+' => {
                attributes += 1;
                let first = characters.peek().copied();
                assert!(
                    first.is_some_and(|first| first.is_ascii_alphanumeric()),
                    "{name:?}"
                );
            }
            _ => {}
        }
    }
    assert!(name.matches('=').count() >= attributes, "{name:?}");

    let is_pattern = name.contains(['*', '?']);
    assert!(is_pattern || matches_glob(&name, &name), "{name:?}");
    let mut middle = name.len() / 2;
    while !name.is_char_boundary(middle) {
        middle -= 1;
    }
    let pattern = format!("{}*", &name[..middle]);
    assert!(
        is_pattern || matches_glob(&pattern, &name),
        "{pattern:?} {name:?}"
    );
    assert!(
        !matches_glob(&format!("{name}?"), &name) || is_pattern,
        "{name:?}"
    );
});
