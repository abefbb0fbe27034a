//! Tests at the limits of names, passwords, salts and counts.

use super::passwords::check_name;
use super::{
    PasswordChange, PasswordEntryError, Passwords, Verifier, change_password, read_passwords,
};
use std::num::NonZeroU32;

const COUNT: NonZeroU32 = NonZeroU32::new(4096).unwrap();

#[test]
fn name_has_1_to_255_bytes_without_colon_or_control() {
    for (name, is_valid) in [
        ("", false),
        ("a", true),
        (&"a".repeat(255)[..], true),
        (&"a".repeat(256), false),
        ("a#", true),
        ("#a", false),
        ("a:b", false),
        ("a\tb", false),
        ("a b", true),
        ("é", true),
    ] {
        assert_eq!(check_name(name).is_ok(), is_valid, "{name}");
        let inserted =
            Passwords::new([0; 32]).insert(name, Verifier::derive(b"x", &[1; 16], COUNT));
        assert_eq!(inserted.is_ok(), is_valid, "{name}");
    }
}

#[test]
fn password_has_1_to_1024_bytes_without_controls() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    for (password, is_valid) in [
        (vec![], false),
        (b"a".to_vec(), true),
        (vec![b'a'; 1024], true),
        (vec![b'a'; 1025], false),
        (b"a\nb".to_vec(), false),
        (vec![0x7f], false),
        ("é".as_bytes().to_vec(), true),
    ] {
        let set = PasswordChange::Set {
            password: &password,
            iterations: COUNT,
        };
        let changed = change_password(&file, "fred", set);
        assert_eq!(changed.is_ok(), is_valid, "{} bytes", password.len());
    }
    assert_eq!(read_passwords(&file).unwrap().len(), 1);
}

#[test]
fn verifier_has_a_count_and_a_salt_within_limits() {
    let text = Verifier::derive(b"x", &[1; 8], COUNT).to_string();
    let with = |count: u32, salt: usize| {
        let salted = Verifier::derive(b"x", &vec![1; salt], COUNT).to_string();
        salted.replace("$4096:", &format!("${count}:"))
    };
    assert_eq!(with(4096, 8), text);
    for (count, salt, is_valid) in [
        (4095, 16, false),
        (4096, 16, true),
        (10_000_000, 16, true),
        (10_000_001, 16, false),
        (4096, 7, false),
        (4096, 8, true),
        (4096, 128, true),
        (4096, 129, false),
    ] {
        let parsed = with(count, salt).parse::<Verifier>();
        assert_eq!(parsed.is_ok(), is_valid, "{count} {salt}");
        if let Ok(verifier) = parsed {
            assert_eq!(verifier.iterations().get(), count);
            assert_eq!(verifier.salt(), vec![1; salt]);
        }
    }
}

#[test]
fn users_are_counted_and_looked_up_by_their_name() {
    let mut passwords = Passwords::new([0; 32]);
    assert!(passwords.is_empty());
    let verifier = Verifier::derive(b"x", &[1; 16], COUNT);
    for (user, count) in [("a", 1), ("b", 2), ("a", 2)] {
        passwords.insert(user, verifier.clone()).unwrap();
        assert_eq!(passwords.len(), count);
    }
    assert!(!passwords.is_empty());
    for (user, is_known) in [
        ("a", true),
        ("A", false),
        ("", false),
        ("b", true),
        ("c", false),
    ] {
        let found = passwords.lookup(user);
        assert_eq!(found.is_known, is_known, "{user}");
        assert_eq!(found.verifier == verifier, is_known, "{user}");
        // The decoy has the shape of the users.
        assert_eq!(found.verifier.salt().len(), 16);
        assert_eq!(found.verifier.iterations(), COUNT);
    }
}

#[test]
fn text_without_a_decoy_key_uses_the_given_one() {
    let decoy = |text: &str, key: u8| {
        let passwords = Passwords::parse(text, [key; 32]).unwrap();
        passwords.lookup("x").verifier.salt().to_owned()
    };
    assert_ne!(decoy("", 1), decoy("", 2));
    let own = ":DECOY$AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    assert_eq!(decoy(own, 2), decoy("", 1));
    assert_eq!(decoy(" \n# comment\n", 2), decoy("", 2));
    let missing = Passwords::parse("x\n", [0; 32]).unwrap_err();
    assert_eq!(missing, (1, PasswordEntryError::MissingColon));
}
