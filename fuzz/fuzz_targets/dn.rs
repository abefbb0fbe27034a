//! Any bytes as the subject of a certificate: a name is found or not, and its separators cannot be forged.
//!
//! Besides, the name is tried against patterns: the whole name, and the name with a star for its middle.

#![no_main]

use eventryd::auth::matches_glob;
use eventryd::net::tls::distinguished_name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|subject: &[u8]| {
    let Some(name) = distinguished_name(subject) else {
        return;
    };
    assert!(name.len() <= 24 * subject.len(), "{name:?}");
    // A separator that is not escaped is followed by an attribute's name, and that by an equals sign.
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
