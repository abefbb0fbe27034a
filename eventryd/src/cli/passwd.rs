//! Subcommand `eventryd passwd`: changes the password file.

use super::files::config_directory;
use crate::auth::{
    AuthError, DEFAULT_ITERATIONS, PasswordChange, change_password, default_password_file,
};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::fs;
use std::io::{self, BufRead, Read, Stdin, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Maximum number of bytes that are read for a password, which is more than one may have.
const MAX_LINE_LEN: u64 = 4_096;

/// Sets the password of a user for SASL (SCRAM-SHA-256), or removes the user.
///
/// The password is read from the terminal without echo, or from the first line of standard input if
/// that is not a terminal. The file is created if it does not exist, is readable by its owner only,
/// holds salted hashes instead of passwords, and is replaced atomically; symbolic links to it are
/// followed. A running eventryd reads it again on SIGHUP.
#[derive(Args, Debug)]
pub(super) struct PasswdArgs {
    /// Password file, in an existing directory. Default: /etc/eventry/passwords for root, $XDG_CONFIG_HOME/eventry/passwords
    /// or ~/.config/eventry/passwords for other users
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Remove the user
    #[arg(long)]
    delete: bool,

    /// Number of hash iterations: more make each login and each guess from a stolen file slower
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ITERATIONS.get(),
          value_parser = clap::value_parser!(u32).range(4096..=10_000_000), conflicts_with = "delete")]
    iterations: u32,

    /// Name of the user
    #[arg(value_name = "USER")]
    user: String,
}

/// Failure of `eventryd passwd`.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswdError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("cannot read the password: {0}")]
    Read(#[from] io::Error),
    #[error("there is no password on standard input")]
    Empty,
    #[error("the two passwords differ; nothing was changed")]
    Mismatch,
}

impl PasswdArgs {
    /// Changes the file. Returns a message for the user.
    pub(super) fn run(
        &self,
        config_home: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Result<String, PasswdError> {
        let uid = rustix::process::geteuid().as_raw();
        let (file, is_default) = match &self.file {
            Some(file) => (file.clone(), false),
            None => {
                let directory = config_directory(uid, config_home, home);
                (default_password_file(&directory), true)
            }
        };
        let (user, shown) = (&self.user, file.display());
        if self.delete {
            change_password(&file, user, PasswordChange::Delete)?;
            return Ok(format!("removed user {user} from {shown}"));
        }
        let password = read_password(user)?;
        let set = PasswordChange::Set {
            password: password.as_bytes(),
            iterations: NonZeroU32::new(self.iterations).unwrap_or(DEFAULT_ITERATIONS),
        };
        store(&file, is_default, user, set)?;
        Ok(format!("stored the password of {user} in {shown}"))
    }
}

/// Stores a password. The default directory is created if it does not exist. Another one may be misspelt.
fn store(
    file: &Path,
    is_default: bool,
    user: &str,
    set: PasswordChange<'_>,
) -> Result<(), PasswdError> {
    let stored = change_password(file, user, set);
    let Err(AuthError::DirectoryMissing(directory)) = &stored else {
        return Ok(stored?);
    };
    if !is_default {
        return Ok(stored?);
    }
    fs::create_dir_all(directory).map_err(|source| AuthError::Write {
        path: file.to_owned(),
        source,
    })?;
    Ok(change_password(file, user, set)?)
}

fn read_password(user: &str) -> Result<String, PasswdError> {
    let stdin = io::stdin();
    if !isatty(&stdin) {
        return read_line(&stdin);
    }
    let _echo_off = EchoOff::set(&stdin)?;
    let first = prompt(&stdin, &format!("New password for {user}: "))?;
    let second = prompt(&stdin, "Repeat the password: ")?;
    if first == second {
        Ok(first)
    } else {
        Err(PasswdError::Mismatch)
    }
}

fn prompt(stdin: &Stdin, question: &str) -> Result<String, PasswdError> {
    let mut stderr = io::stderr();
    stderr.write_all(question.as_bytes())?;
    let answer = read_line(stdin);
    // Without echo, the user's own line end is not visible either.
    stderr.write_all(b"\n")?;
    answer
}

fn read_line(stdin: &Stdin) -> Result<String, PasswdError> {
    let mut line = String::new();
    if stdin.lock().take(MAX_LINE_LEN).read_line(&mut line)? == 0 {
        return Err(PasswdError::Empty);
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Guard that turns off the echo of a terminal until it is dropped.
struct EchoOff<'a> {
    terminal: &'a Stdin,
    previous: Termios,
}

impl<'a> EchoOff<'a> {
    fn set(terminal: &'a Stdin) -> io::Result<EchoOff<'a>> {
        let previous = tcgetattr(terminal)?;
        let mut modes = previous.clone();
        modes.local_modes -= LocalModes::ECHO;
        // Input typed so far has been echoed, so it is discarded.
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(EchoOff { terminal, previous })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.previous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_directory_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("eventry/passwords");
        let set = PasswordChange::Set {
            password: b"pencil",
            iterations: NonZeroU32::new(4096).unwrap(),
        };
        assert!(store(&file, true, "a:b", set).is_err());
        let error = store(&file, false, "fred", set).unwrap_err();
        assert!(error.to_string().contains("mkdir -p"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        store(&file, true, "fred", set).unwrap();
        assert!(file.exists());
    }
}
