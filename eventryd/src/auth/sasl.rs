//! SASL: the mechanisms, one client's exchange, and who is let in.

use super::file::{default_password_file, random_bytes, read_passwords};
use super::{AuthError, Nonce, Passwords, SaslError, ScramServer, matches_glob};
use std::path::{Path, PathBuf};

/// The mechanisms offered, separated by commas. There is one: it needs no other program, and the server
/// keeps nothing that could be used to log in elsewhere.
///
/// It cannot encrypt, so it serves on Unix sockets and within TLS only; libvirt's clients demand encryption
/// by SASL itself elsewhere (DM-1004).
pub const MECHANISMS: &str = "SCRAM-SHA-256";

/// How clients are authenticated by SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslConfig {
    /// The file that `eventryd passwd` writes.
    pub password_file: PathBuf,
    /// Patterns of the users who are let in ([`matches_glob`]): all if `None`, nobody if there are no
    /// patterns.
    pub allowed_users: Option<Vec<String>>,
}

impl Default for SaslConfig {
    /// Everybody in `/etc/eventry/passwords`.
    fn default() -> SaslConfig {
        SaslConfig {
            password_file: default_password_file(Path::new("/etc/eventry")),
            allowed_users: None,
        }
    }
}

/// Whom to let in, as read at one time.
#[derive(Debug)]
pub struct Sasl {
    passwords: Passwords,
    allowed_users: Option<Vec<String>>,
}

/// Where one client's exchange stands.
#[derive(Debug, Default)]
pub enum SaslExchange {
    /// Nothing has begun.
    #[default]
    Idle,
    /// The mechanism is chosen, and the client is asked to speak first.
    Started,
    /// The client has been asked for its proof. Boxed: every client has one of these, and few get here.
    Challenged(Box<ScramServer>),
}

/// What comes of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum SaslProgress {
    /// Say this, and wait for the client.
    Continue(Option<Vec<u8>>),
    /// The client is this user; say this at last.
    Complete {
        /// Who it has proved to be.
        user: String,
        /// The server's own proof.
        data: Vec<u8>,
    },
}

impl Sasl {
    /// Reads what the configuration names. Do it again when that may have changed; exchanges that have
    /// begun end with what they began with.
    ///
    /// # Errors
    /// [`AuthError`]
    pub fn load(config: &SaslConfig) -> Result<Sasl, AuthError> {
        Ok(Sasl::new(
            read_passwords(&config.password_file)?,
            config.allowed_users.clone(),
        ))
    }

    /// Lets in who has one of these passwords and fits one of these patterns.
    #[must_use]
    pub fn new(passwords: Passwords, allowed_users: Option<Vec<String>>) -> Sasl {
        Sasl {
            passwords,
            allowed_users,
        }
    }

    /// How many users have a password.
    #[must_use]
    pub fn users(&self) -> usize {
        self.passwords.len()
    }

    /// A nonce that nobody can guess.
    ///
    /// # Errors
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
    /// The client begins with `mechanism`, and perhaps its first message. `nonce` must be a new one.
    ///
    /// # Errors
    /// [`SaslError`]; the exchange is over then.
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
            // Whoever lets the server speak first is told that it has nothing to say.
            None => {
                *self = SaslExchange::Started;
                Ok(SaslProgress::Continue(None))
            }
        }
    }

    /// The client answers. `nonce` must be a new one; it is used only if the client speaks first now.
    ///
    /// # Errors
    /// [`SaslError`]; the exchange is over then.
    pub fn step(
        &mut self,
        sasl: &Sasl,
        data: Option<&[u8]>,
        nonce: &Nonce,
    ) -> Result<SaslProgress, SaslError> {
        let data = data.ok_or(SaslError::MissingData);
        match std::mem::take(self) {
            SaslExchange::Idle => Err(SaslError::Malformed("a step of nothing")),
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
