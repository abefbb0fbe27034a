//! Reading and writing the password file.

use super::passwords::{check_name, edit};
use super::{AuthError, PasswordEntryError, Passwords, Verifier};
use crate::file_kind::special_kind;
use crate::trusted_path::follow_links;
use crate::whole_file::{open_without_waiting, read_whole};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FileType, FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Maximum number of files that a change opens. A file is not used if another change has replaced it meanwhile.
const MAX_ATTEMPTS: usize = 100;

/// Change of one entry of the password file.
#[derive(Clone, Copy)]
pub enum PasswordChange<'a> {
    /// Adds the user, or replaces the password of an existing one.
    Set {
        /// Password: 1 to 1024 bytes without ASCII control characters.
        password: &'a [u8],
        /// Number of PBKDF2 iterations, from 4096 to 10,000,000.
        iterations: NonZeroU32,
    },
    /// Removes the user.
    Delete,
}

/// Returns the default path of the password file for a configuration directory.
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

/// Reads a password file.
///
/// # Errors
///
/// - [`AuthError::Read`] if the file cannot be read, is too long or is not UTF-8.
/// - [`AuthError::IsDirectory`] if it is a directory.
/// - [`AuthError::InsecureMode`] if its mode gives any right to the group or to others.
/// - [`AuthError::InvalidEntry`] for the first invalid line.
/// - [`AuthError::RandomUnavailable`] if no key for decoy salts can be generated.
pub fn read_passwords(path: &Path) -> Result<Passwords, AuthError> {
    let read_error = |source| AuthError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read_error)?;
    let found = file.metadata().map_err(read_error)?;
    if found.is_dir() {
        return Err(AuthError::IsDirectory(path.to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        return Err(AuthError::InsecureMode(path.to_owned()));
    }
    let text = read_text(file).map_err(read_error)?;
    Passwords::parse(&text, random_bytes()?).map_err(|(line, source)| AuthError::InvalidEntry {
        path: path.to_owned(),
        line,
        source,
    })
}

/// Reads a file of UTF-8 text.
fn read_text(file: impl Read) -> io::Result<String> {
    String::from_utf8(read_whole(file)?).map_err(|_| io::Error::other("the file is not UTF-8"))
}

/// Changes the entry of one user and keeps every other line.
///
/// The file is replaced by `rename`, so a concurrent reader sees the old or the new contents. A
/// lock on the file serializes concurrent changes; users that may not open the file cannot hold it.
/// A missing file, which is empty at first, is created to add a user; a new file has mode 0600. Symbolic links are
/// followed, and stay: the file that they lead to is replaced.
///
/// # Errors
///
/// - [`AuthError::NotRegular`] if the path leads to anything but a regular file, which `rename` would replace.
/// - Other [`AuthError`]s, also if a line of the file is invalid. The file is unchanged in that case.
pub fn change_password(
    path: &Path,
    user: &str,
    change: PasswordChange<'_>,
) -> Result<(), AuthError> {
    check_name(user)?;
    check_kind(path)?;
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
    let target = follow_links(path).map_err(|error| write_error(error.into()))?;
    let (file, is_new) = match open_locked(&target, verifier.is_some()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(match (verifier, target.parent()) {
                (Some(_), Some(directory)) => AuthError::DirectoryMissing(directory.to_owned()),
                _ => AuthError::FileMissing(path.to_owned()),
            });
        }
        opened => opened.map_err(write_error)?,
    };
    let changed = change_locked(path, &target, &file, user, verifier.as_ref());
    if changed.is_err() && is_new {
        let _ = fs::remove_file(&target);
    }
    changed
}

/// Checks that a path leads to a regular file or to none. Nothing is opened: the open of a FIFO waits, and that of a device
/// may have an effect.
fn check_kind(path: &Path) -> Result<(), AuthError> {
    // A file that cannot be examined cannot be opened either.
    let found = fs::metadata(path).ok();
    let kind = found.and_then(|found| special_kind(FileType::from_raw_mode(found.mode())));
    let Some(kind) = kind else { return Ok(()) };
    Err(AuthError::NotRegular {
        path: path.to_owned(),
        is_link: path.is_symlink(),
        kind,
    })
}

/// Opens the password file and locks it. With `creates` set, a missing file is created, which is `true` in the result.
fn open_locked(path: &Path, creates: bool) -> io::Result<(File, bool)> {
    for _ in 0..MAX_ATTEMPTS {
        // Without a wait for the other end, if a FIFO has taken the place of the file.
        let opened = match open_without_waiting(path) {
            Ok(file) => Ok((file, false)),
            Err(error) if creates && error.kind() == io::ErrorKind::NotFound => {
                let mut new = OpenOptions::new();
                new.write(true).read(true).create_new(true).mode(0o600);
                new.open(path).map(|file| (file, true))
            }
            Err(error) => Err(error),
        };
        let (file, is_new) = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        let opened = file.metadata()?;
        if !opened.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        flock(&file, FlockOperation::LockExclusive)?;
        // The previous holder of the lock has replaced or removed the file.
        let is_same =
            |found: fs::Metadata| (found.dev(), found.ino()) == (opened.dev(), opened.ino());
        if fs::metadata(path).is_ok_and(is_same) {
            return Ok((file, is_new));
        }
    }
    Err(io::Error::other("other processes keep replacing it"))
}

/// Changes the entry of one user in the locked file `target`, to which `path` leads.
fn change_locked(
    path: &Path,
    target: &Path,
    file: &File,
    user: &str,
    verifier: Option<&Verifier>,
) -> Result<(), AuthError> {
    let text = read_text(file).map_err(|source| AuthError::Read {
        path: path.to_owned(),
        source,
    })?;
    let invalid = |(line, source)| AuthError::InvalidEntry {
        path: path.to_owned(),
        line,
        source,
    };
    Passwords::parse(&text, random_bytes()?).map_err(invalid)?;
    let Some(edited) = edit(&text, user, verifier, random_bytes()?) else {
        return Err(AuthError::UnknownUser {
            path: path.to_owned(),
            user: user.to_owned(),
        });
    };
    write_atomically(target, edited.as_bytes()).map_err(|source| AuthError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes `contents` to a temporary file beside `path`, with the owner of `path`, and renames it.
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
                // A daemon that runs as another user must still be able to read the file.
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

/// Checks a new password: 1 to 1024 bytes without the ASCII characters that SASLprep (RFC 4013)
/// prohibits. Other characters are not normalized, as in Cyrus SASL.
fn check_password(password: &[u8]) -> Result<(), PasswordEntryError> {
    let is_valid =
        (1..=1024).contains(&password.len()) && !password.iter().any(u8::is_ascii_control);
    is_valid
        .then_some(())
        .ok_or(PasswordEntryError::InvalidPassword)
}

/// Returns `N` random bytes from the system.
pub(super) fn random_bytes<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AuthError::RandomUnavailable)?;
    Ok(bytes)
}
