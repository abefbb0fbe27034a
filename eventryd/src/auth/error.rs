//! What can be wrong with a client's proof, and with what it is checked against.

use super::PasswordEntryError;
use std::io;
use std::path::PathBuf;

/// Why a client has not proved who it is. For the log: the client is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// It chose a mechanism that was not offered.
    #[error("unknown mechanism {0:?}")]
    UnknownMechanism(String),
    /// It sent no data where there must be some.
    #[error("no data")]
    MissingData,
    /// What it sent is not what the mechanism says.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// It insists on channel binding, or repeats another than it began with.
    #[error("wrong channel binding")]
    ChannelBinding,
    /// It wants the rights of another user than it proves to be.
    #[error("it asks for the rights of another user")]
    AuthzidMismatch,
    /// It repeats another nonce.
    #[error("wrong nonce")]
    NonceMismatch,
    /// The user is unknown, or the password is another.
    #[error("wrong user name or password for {user:?}")]
    InvalidProof {
        /// Who it says it is.
        user: String,
    },
    /// The user is who it says, and is not let in.
    #[error("{user:?} is not among the allowed users")]
    NotAllowed {
        /// Who it is.
        user: String,
    },
}

/// Why clients cannot be authenticated, or a password not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The file of passwords cannot be read.
    #[error(
        "cannot read the password file {}: {source}; `eventryd passwd --file {} USER` makes one",
        path.display(),
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of passwords can be read or written by others than its owner.
    #[error(
        "others than its owner may read or write the password file {}: chmod 600 it",
        .0.display()
    )]
    InsecureMode(PathBuf),
    /// A line of the file is wrong.
    #[error("{}:{line}: {source}", path.display())]
    InvalidEntry {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        source: PasswordEntryError,
    },
    /// The file cannot be written.
    #[error("cannot write the password file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such user to delete.
    #[error("there is no user {user:?} in {}", path.display())]
    UnknownUser {
        /// The file.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// The name or the password cannot be used.
    #[error(transparent)]
    InvalidUser(#[from] PasswordEntryError),
    /// There are no random numbers to be had.
    #[error("the system gives no random numbers")]
    RandomUnavailable,
    /// polkit is to be asked, and there is nothing to ask it with.
    #[error(
        "polkit is configured, and {} is not there: install polkitd, or choose another way to authenticate",
        .0.display()
    )]
    PkcheckMissing(PathBuf),
}
