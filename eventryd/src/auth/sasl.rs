//! SASL: the mechanisms, the exchange with one client, and the allowed users.

use super::file::{default_password_file, random_bytes, read_passwords};
use super::{AuthError, Nonce, Passwords, SaslError, ScramServer, matches_glob};
use std::path::{Path, PathBuf};

/// Offered mechanisms, separated by commas.
///
/// SCRAM-SHA-256 needs no other service such as a KDC, and the server stores nothing that allows
/// logging in elsewhere. It does not encrypt, so it is available on Unix sockets and within TLS
/// only: on plain TCP libvirt's clients require a mechanism that encrypts (DM-1004).
pub const MECHANISMS: &str = "SCRAM-SHA-256";

/// Configuration of SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslConfig {
    /// Path of the password file, which `eventryd passwd` writes.
    pub password_file: PathBuf,
    /// Patterns of the allowed user names ([`matches_glob`]). `None` allows every user of the
    /// password file; an empty list allows none.
    pub allowed_users: Option<Vec<String>>,
}

impl Default for SaslConfig {
    /// Allows every user of `/etc/eventry/passwords`.
    fn default() -> SaslConfig {
        SaslConfig {
            password_file: default_password_file(Path::new("/etc/eventry")),
            allowed_users: None,
        }
    }
}

/// Users and patterns that SASL accepts, as loaded at one time.
#[derive(Debug)]
pub struct Sasl {
    passwords: Passwords,
    allowed_users: Option<Vec<String>>,
}

/// Exchange with one client.
#[derive(Debug, Default)]
pub enum SaslExchange {
    /// No exchange is in progress.
    #[default]
    Idle,
    /// The mechanism is selected, and the client's first message is expected.
    Started,
    /// The challenge is sent, and the client's proof is expected. Boxed to keep idle clients small.
    Challenged(Box<ScramServer>),
}

/// Result of a step of the exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum SaslProgress {
    /// The exchange continues: send this data and wait for the next step.
    Continue(Option<Vec<u8>>),
    /// The client is authenticated: send this data as the last message.
    Complete {
        /// Authenticated user name.
        user: String,
        /// Signature by which the client authenticates the server.
        data: Vec<u8>,
    },
}

impl Sasl {
    /// Loads the password file that `config` names.
    ///
    /// An exchange in progress continues with the verifier that it started with.
    ///
    /// # Errors
    ///
    /// Those of [`read_passwords`].
    pub fn load(config: &SaslConfig) -> Result<Sasl, AuthError> {
        Ok(Sasl::new(
            read_passwords(&config.password_file)?,
            config.allowed_users.clone(),
        ))
    }

    /// Creates the set of the users of `passwords` that match a pattern of `allowed_users`, or of
    /// all users if it is `None`.
    #[must_use]
    pub fn new(passwords: Passwords, allowed_users: Option<Vec<String>>) -> Sasl {
        Sasl {
            passwords,
            allowed_users,
        }
    }

    /// Returns the number of users in the password file.
    #[must_use]
    pub fn users(&self) -> usize {
        self.passwords.len()
    }

    /// Generates a random nonce.
    ///
    /// # Errors
    ///
    /// [`AuthError::RandomUnavailable`]
    pub fn nonce() -> Result<Nonce, AuthError> {
        random_bytes().map(Nonce::from_random)
    }

    fn is_allowed(&self, user: &str) -> bool {
        let Some(patterns) = &self.allowed_users else {
            return true;
        };
        patterns.iter().any(|pattern| matches_glob(pattern, user))
    }
}

impl SaslExchange {
    /// Starts an exchange with `mechanism`, and with the client's first message if it is in `data`.
    /// `nonce` must not have been used before.
    ///
    /// # Errors
    ///
    /// [`SaslError`]. The exchange has ended in that case.
    pub fn start(
        &mut self,
        sasl: &Sasl,
        mechanism: &[u8],
        data: Option<&[u8]>,
        nonce: &Nonce,
    ) -> Result<SaslProgress, SaslError> {
        *self = SaslExchange::Idle;
        if mechanism != MECHANISMS.as_bytes() {
            let name: String = String::from_utf8_lossy(mechanism)
                .chars()
                .take(32)
                .collect();
            return Err(SaslError::UnknownMechanism(name));
        }
        match data {
            Some(first) => self.challenge(sasl, first, nonce),
            // SCRAM has no initial challenge: an empty one asks for the client's first message.
            None => {
                *self = SaslExchange::Started;
                Ok(SaslProgress::Continue(None))
            }
        }
    }

    /// Processes the next message of the client. `nonce` must not have been used before; it is used
    /// only if this is the client's first message.
    ///
    /// # Errors
    ///
    /// [`SaslError`]. The exchange has ended in that case.
    pub fn step(
        &mut self,
        sasl: &Sasl,
        data: Option<&[u8]>,
        nonce: &Nonce,
    ) -> Result<SaslProgress, SaslError> {
        let data = data.ok_or(SaslError::MissingData);
        match std::mem::take(self) {
            SaslExchange::Idle => Err(SaslError::Malformed("step without start")),
            SaslExchange::Started => self.challenge(sasl, data?, nonce),
            SaslExchange::Challenged(scram) => {
                let (user, data) = scram.finish(data?)?;
                if !sasl.is_allowed(&user) {
                    return Err(SaslError::NotAllowed { user });
                }
                Ok(SaslProgress::Complete { user, data })
            }
        }
    }

    fn challenge(
        &mut self,
        sasl: &Sasl,
        first: &[u8],
        nonce: &Nonce,
    ) -> Result<SaslProgress, SaslError> {
        let (scram, challenge) = ScramServer::start(first, &sasl.passwords, nonce)?;
        *self = SaslExchange::Challenged(Box::new(scram));
        Ok(SaslProgress::Continue(Some(challenge)))
    }
}
