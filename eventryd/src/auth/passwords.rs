//! Users with their SCRAM verifiers, and the text format of the password file.
//!
//! ```text
//! # A comment. Blank lines are ignored too.
//! :DECOY$BASE64
//! fred:SCRAM-SHA-256$16384:SALT$STOREDKEY:SERVERKEY
//! ```
//!
//! The line without a name holds the key from which decoy salts for unknown users are derived. It
//! is stored in the file so that these salts stay the same across restarts.

use super::PasswordEntryError;
use super::verifier::{DEFAULT_ITERATIONS, KEY_LEN, Verifier, from_base64, hmac, to_base64};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

/// Prefix of the key in the line without a name.
const DECOY_PREFIX: &str = "DECOY$";

/// Length of a decoy salt in bytes while there are no users.
const DEFAULT_SALT_LEN: usize = 16;

/// Verifier for a user name that a client claims.
pub(super) struct UserLookup {
    pub(super) verifier: Verifier,
    /// `false` if there is no such user. The verifier is a decoy in that case.
    pub(super) is_known: bool,
}

/// Users and their SCRAM verifiers.
#[derive(Clone)]
pub struct Passwords {
    users: BTreeMap<String, Verifier>,
    decoy_key: [u8; KEY_LEN],
    /// The most common iteration count and salt length of the users, so that decoys look like
    /// real users.
    decoy_iterations: NonZeroU32,
    decoy_salt_len: usize,
}

/// Contents of one line.
enum PasswordEntry<'a> {
    Blank,
    DecoyKey([u8; KEY_LEN]),
    User(&'a str, Verifier),
}

impl Passwords {
    /// Creates an empty set of users.
    ///
    /// Salts for unknown users are derived from `decoy_key`, which must be secret and random.
    #[must_use]
    pub fn new(decoy_key: [u8; KEY_LEN]) -> Passwords {
        Passwords {
            users: BTreeMap::new(),
            decoy_key,
            decoy_iterations: DEFAULT_ITERATIONS,
            decoy_salt_len: DEFAULT_SALT_LEN,
        }
    }

    /// Parses the text of a password file. `decoy_key` applies if the text has no decoy key.
    ///
    /// # Errors
    ///
    /// The number of the first invalid line, from 1, and its error.
    pub fn parse(
        text: &str,
        decoy_key: [u8; KEY_LEN],
    ) -> Result<Passwords, (usize, PasswordEntryError)> {
        let mut passwords = Passwords::new(decoy_key);
        for (index, line) in text.lines().enumerate() {
            let at_line = |error| (index + 1, error);
            match parse_entry(line).map_err(at_line)? {
                PasswordEntry::Blank => {}
                PasswordEntry::DecoyKey(key) => passwords.decoy_key = key,
                PasswordEntry::User(user, verifier) => {
                    if passwords.users.contains_key(user) {
                        return Err(at_line(PasswordEntryError::DuplicateUser(user.to_owned())));
                    }
                    passwords.users.insert(user.to_owned(), verifier);
                }
            }
        }
        passwords.update_decoy_shape();
        Ok(passwords)
    }

    /// Adds a user, or replaces the verifier of an existing one.
    ///
    /// # Errors
    ///
    /// [`PasswordEntryError::InvalidName`] if the name cannot be stored in a password file.
    pub fn insert(&mut self, user: &str, verifier: Verifier) -> Result<(), PasswordEntryError> {
        check_name(user)?;
        self.users.insert(user.to_owned(), verifier);
        self.update_decoy_shape();
        Ok(())
    }

    /// Returns the number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Returns `true` if there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Returns the verifier of `user`, or a decoy for an unknown user.
    ///
    /// The decoy depends on the name and the decoy key only, so repeated attempts see the same
    /// salt. It is computed for known users as well, so that both cases take the same time.
    pub(super) fn lookup(&self, user: &str) -> UserLookup {
        let salt = [&b"salt "[..], user.as_bytes()].concat();
        let mut salt = hmac(&self.decoy_key, &salt).repeat(self.decoy_salt_len.div_ceil(KEY_LEN));
        salt.truncate(self.decoy_salt_len);
        let key = hmac(&self.decoy_key, &[&b"key "[..], user.as_bytes()].concat());
        let decoy = Verifier::decoy(self.decoy_iterations, salt, key);
        let found = self.users.get(user);
        UserLookup {
            is_known: found.is_some(),
            verifier: found.cloned().unwrap_or(decoy),
        }
    }

    fn update_decoy_shape(&mut self) {
        let mut counts = BTreeMap::<_, usize>::new();
        for verifier in self.users.values() {
            let shape = (verifier.iterations(), verifier.salt().len());
            *counts.entry(shape).or_default() += 1;
        }
        if let Some((&(iterations, salt_len), _)) = counts.iter().max_by_key(|(_, count)| **count) {
            self.decoy_iterations = iterations;
            self.decoy_salt_len = salt_len;
        }
    }
}

/// Returns `text` with the line of `user` added or replaced or, if `verifier` is `None`, removed.
///
/// Other lines are kept. A line with `decoy_key` is added if the text has no decoy key. Returns
/// `None` if the user to remove has no line.
pub(super) fn edit(
    text: &str,
    user: &str,
    verifier: Option<&Verifier>,
    decoy_key: [u8; KEY_LEN],
) -> Option<String> {
    let user_line = verifier.map(|verifier| format!("{user}:{verifier}"));
    let mut found = false;
    let mut has_decoy = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match parse_entry(line) {
            Ok(PasswordEntry::User(name, _)) if name == user => {
                found = true;
                lines.extend(user_line.clone());
                continue;
            }
            Ok(PasswordEntry::DecoyKey(_)) => has_decoy = true,
            _ => {}
        }
        lines.push(line.to_owned());
    }
    if !found {
        lines.push(user_line?);
    }
    if !has_decoy {
        lines.insert(0, format!(":{DECOY_PREFIX}{}", to_base64(&decoy_key)));
    }
    Some(lines.join("\n") + "\n")
}

fn parse_entry(line: &str) -> Result<PasswordEntry<'_>, PasswordEntryError> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(PasswordEntry::Blank);
    }
    let (user, rest) = line
        .split_once(':')
        .ok_or(PasswordEntryError::MissingColon)?;
    if user.is_empty() {
        let key = rest.strip_prefix(DECOY_PREFIX).and_then(from_base64);
        let key = key.and_then(|key| key.try_into().ok());
        return key
            .map(PasswordEntry::DecoyKey)
            .ok_or(PasswordEntryError::InvalidDecoyKey);
    }
    check_name(user)?;
    Ok(PasswordEntry::User(user, rest.parse()?))
}

pub(super) fn check_name(user: &str) -> Result<(), PasswordEntryError> {
    let is_valid = (1..=255).contains(&user.len())
        && !user.starts_with('#')
        && !user.contains(|c: char| c == ':' || c.is_control());
    is_valid
        .then_some(())
        .ok_or(PasswordEntryError::InvalidName)
}

/// Omits the keys and salts, which allow guessing passwords offline.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::VerifierError;
    use super::*;

    fn verifier(password: &str) -> Verifier {
        Verifier::derive(
            password.as_bytes(),
            &[3; 16],
            NonZeroU32::new(4096).unwrap(),
        )
    }

    #[test]
    fn edit_changes_only_the_entry_of_the_user() {
        let key = [9; KEY_LEN];
        let first = edit("", "fred", Some(&verifier("one")), key).unwrap();
        let commented = format!("# users of SASL\n\n{first}");
        let second = edit(&commented, "ann", Some(&verifier("two")), [1; KEY_LEN]).unwrap();
        assert!(second.starts_with(&commented), "{second}");
        let third = edit(&second, "fred", Some(&verifier("three")), [1; KEY_LEN]).unwrap();
        let passwords = Passwords::parse(&third, [0; KEY_LEN]).unwrap();
        assert_eq!(passwords.len(), 2);
        assert_eq!(passwords.decoy_key, key, "the decoy key stays");
        assert_eq!(passwords.users["fred"], verifier("three"));
        let fourth = edit(&third, "fred", None, key).unwrap();
        assert_eq!(
            fourth,
            second.replace(&format!("fred:{}\n", verifier("one")), "")
        );
        assert_eq!(edit(&fourth, "fred", None, key), None);
    }

    #[test]
    fn parse_reports_the_line_of_an_invalid_entry() {
        let good = format!("fred:{}", verifier("x"));
        for (line, expected) in [
            ("fred", PasswordEntryError::MissingColon),
            ("ann:secret", VerifierError.into()),
            (":DECOY$AAAA", PasswordEntryError::InvalidDecoyKey),
            ("a\u{7}b:x", PasswordEntryError::InvalidName),
            (&good, PasswordEntryError::DuplicateUser("fred".into())),
        ] {
            let text = format!("{good}\n\n{line}\n");
            let error = Passwords::parse(&text, [0; KEY_LEN]).unwrap_err();
            assert_eq!(error, (3, expected));
        }
    }

    #[test]
    fn verifier_with_few_iterations_or_short_salt_is_rejected() {
        let good = verifier("x").to_string();
        for bad in [
            good.replace("4096:", "4095:"),
            good.replace("4096:", "4294967296:"),
            good.replace("4096:AwMDAwMDAwMDAwMDAwMDAw==", "4096:AwMD"),
            good.replace("SHA-256", "SHA-1"),
            good[..good.len() - 4].to_owned(),
        ] {
            assert_ne!(bad, good);
            assert_eq!(bad.parse::<Verifier>(), Err(VerifierError), "{bad}");
        }
    }

    #[test]
    fn decoys_have_the_most_common_iterations_and_salt_length() {
        let mut passwords = Passwords::new([5; KEY_LEN]);
        assert_eq!(
            passwords.lookup("x").verifier.salt().len(),
            DEFAULT_SALT_LEN
        );
        for (user, salt, count) in [("a", 40, 5000), ("b", 40, 5000), ("c", 16, 4096)] {
            let count = NonZeroU32::new(count).unwrap();
            let verifier = Verifier::derive(b"x", &vec![1; salt], count);
            passwords.insert(user, verifier).unwrap();
        }
        let decoy = passwords.lookup("unknown");
        assert!(!decoy.is_known);
        assert_eq!(decoy.verifier.salt().len(), 40);
        assert_eq!(decoy.verifier.iterations().get(), 5000);
        assert_eq!(passwords.lookup("unknown").verifier, decoy.verifier);
        assert_ne!(
            passwords.lookup("unknown2").verifier.salt(),
            decoy.verifier.salt()
        );
    }
}
