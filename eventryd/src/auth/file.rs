//! The file of passwords, read and written.

use super::passwords::{check_name, edit};
use super::{AuthError, PasswordEntryError, Passwords, Verifier};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What to do with a user.
#[derive(Clone, Copy)]
pub enum PasswordChange<'a> {
    /// Give it this password, be it there already or not.
    Set {
        /// The password.
        password: &'a [u8],
        /// How often it is hashed; from 4096.
        iterations: NonZeroU32,
    },
    /// Take it out.
    Delete,
}

/// Where the file is if nothing else is said, in the directory of the daemon's configuration.
///
/// ```
/// use eventryd::auth::default_password_file;
///
/// let file = default_password_file("/etc/eventry".as_ref());
/// assert_eq!(file.to_str(), Some("/etc/eventry/passwords"));
/// ```
#[must_use]
pub fn default_password_file(directory: &Path) -> PathBuf {
    directory.join("passwords")
}

/// Reads the file. Do it again when it may have changed.
///
/// # Errors
/// [`AuthError`]: it cannot be read, others than its owner may read or write it, or a line is wrong.
pub fn read_passwords(path: &Path) -> Result<Passwords, AuthError> {
    let read_error = |source| AuthError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read_error)?;
    if file.metadata().map_err(read_error)?.mode() & 0o077 != 0 {
        return Err(AuthError::InsecureMode(path.to_owned()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(read_error)?;
    Passwords::parse(&text, random_bytes()?).map_err(|(line, source)| AuthError::InvalidEntry {
        path: path.to_owned(),
        line,
        source,
    })
}

/// Changes one user's entry and leaves the others as they are. Whoever reads the file meanwhile finds it as
/// it was or as it is afterwards; two changes at once wait for one another.
///
/// A file that is not there is made, with its directory, and only its owner can read it.
///
/// # Errors
/// [`AuthError`]; the file is as it was then.
pub fn change_password(
    path: &Path,
    user: &str,
    change: PasswordChange<'_>,
) -> Result<(), AuthError> {
    check_name(user)?;
    let verifier = match change {
        PasswordChange::Set {
            password,
            iterations,
        } => {
            check_password(password)?;
            Some(Verifier::derive(
                password,
                &random_bytes::<16>()?,
                iterations,
            ))
        }
        PasswordChange::Delete => None,
    };
    let write_error = |source| AuthError::Write {
        path: path.to_owned(),
        source,
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    fs::create_dir_all(directory).map_err(write_error)?;
    // On the directory: the file itself is replaced.
    let lock = File::open(directory).map_err(write_error)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| write_error(error.into()))?;

    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            return Err(AuthError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let edited = edit(&text, user, verifier.as_ref(), random_bytes()?);
    let Some(edited) = edited else {
        return Err(AuthError::UnknownUser {
            path: path.to_owned(),
            user: user.to_owned(),
        });
    };
    write_atomically(path, edited.as_bytes()).map_err(write_error)
}

/// Writes a new file beside the old one and gives it the old one's name and owner.
fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            if let Ok(old) = fs::metadata(path) {
                // Who runs the daemon as another user goes on reading the file.
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.write_all(contents)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// What SASLprep forbids in ASCII; other characters are taken as they are, as Cyrus SASL does.
fn check_password(password: &[u8]) -> Result<(), PasswordEntryError> {
    let is_valid =
        (1..=1024).contains(&password.len()) && !password.iter().any(u8::is_ascii_control);
    is_valid
        .then_some(())
        .ok_or(PasswordEntryError::InvalidPassword)
}

/// Random bytes from the system.
pub(super) fn random_bytes<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AuthError::RandomUnavailable)?;
    Ok(bytes)
}
