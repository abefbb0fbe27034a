//! Errors of authentication and of the password file.

use super::VerifierError;
use std::io;
use std::path::PathBuf;

/// Reason why SASL rejects a client. It is for the log only: every client gets the same error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client chose a mechanism that the server does not offer.
    #[error("unknown mechanism {0:?}")]
    UnknownMechanism(String),
    /// The message carries no data where the mechanism requires some.
    #[error("no data")]
    MissingData,
    /// The message does not have the format of the mechanism.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The client requires channel binding, or its final message repeats another header than its
    /// first one.
    #[error("wrong channel binding")]
    ChannelBinding,
    /// The authorization identity differs from the user name.
    #[error("the authorization identity differs from the user name")]
    AuthzidMismatch,
    /// The final message has another nonce than the challenge.
    #[error("wrong nonce")]
    NonceMismatch,
    /// The user is unknown or the password is wrong.
    #[error("wrong user name or password for {user:?}")]
    InvalidProof {
        /// The user name that the client claims.
        user: String,
    },
    /// The password is right, but no pattern of `sasl_allowed_username_list` matches the user.
    #[error("user {user:?} is not in sasl_allowed_username_list")]
    NotAllowed {
        /// The authenticated user name.
        user: String,
    },
}

/// Error in a line of the password file, or in the user name or password of a new entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordEntryError {
    /// The user name cannot be stored in a line.
    #[error(
        "a user name has 1 to 255 bytes, does not start with '#', and has no colon or control character"
    )]
    InvalidName,
    /// The line has no colon.
    #[error("expected USER:SCRAM-SHA-256$…, as `eventryd passwd` writes it")]
    MissingColon,
    /// The text after the user name is not a verifier.
    #[error(transparent)]
    InvalidVerifier(#[from] VerifierError),
    /// The line without a name does not hold a decoy key.
    #[error("expected :DECOY$ and 32 bytes in base64")]
    InvalidDecoyKey,
    /// A user has more than one line.
    #[error("user {0:?} already has a line")]
    DuplicateUser(String),
    /// The password is not allowed.
    #[error("a password has 1 to 1024 bytes and no control character")]
    InvalidPassword,
}

/// Failure to prepare authentication, or to change a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The password file cannot be read.
    #[error(
        "cannot read the password file {}: {source}; create it with `eventryd passwd --file {} USER`",
        path.display(),
        path.display()
    )]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The password file is a directory.
    #[error(
        "the password file {} is a directory; set eventry_sasl_password_file to a file that `eventryd passwd --file` writes",
        .0.display()
    )]
    IsDirectory(PathBuf),
    /// The mode of the password file gives rights to the group or to others.
    #[error(
        "the password file {} is accessible to its group or to others; run `chmod 600 {}`",
        .0.display(),
        .0.display()
    )]
    InsecureMode(PathBuf),
    /// A line of the password file is invalid.
    #[error("{}:{line}: {source}", path.display())]
    InvalidEntry {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Cause.
        source: PasswordEntryError,
    },
    /// The password file to change is not a regular file.
    #[error(
        "the password file {} is {}{kind}; name a regular file, or a new one, with --file",
        path.display(),
        if *is_link { "a symbolic link to " } else { "" }
    )]
    NotRegular {
        /// Path of the file.
        path: PathBuf,
        /// Set if the path is a symbolic link to the file.
        is_link: bool,
        /// Kind of the file, with an article.
        kind: &'static str,
    },
    /// The password file cannot be written.
    #[error("cannot write the password file {}: {source}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file from which a user is to be deleted does not exist.
    #[error("the password file {} does not exist", .0.display())]
    FileMissing(PathBuf),
    /// The directory of a new password file does not exist.
    #[error(
        "the directory {} of the password file does not exist; create it with `mkdir -p {}`, or name another file",
        .0.display(),
        .0.display()
    )]
    DirectoryMissing(PathBuf),
    /// The user to delete is not in the password file.
    #[error("user {user:?} is not in the password file {}", path.display())]
    UnknownUser {
        /// Path of the file.
        path: PathBuf,
        /// Name of the user.
        user: String,
    },
    /// The new user name or password is not allowed.
    #[error(transparent)]
    InvalidUser(#[from] PasswordEntryError),
    /// The system's random number generator failed.
    #[error("the system's random number generator failed")]
    RandomUnavailable,
    /// A service uses polkit, but the `pkcheck` program is missing or not executable.
    #[error(
        "polkit needs the program {}, which is missing or not executable; install polkitd, or set auth_unix_rw and auth_unix_ro to another value",
        .0.display()
    )]
    PkcheckMissing(PathBuf),
}
