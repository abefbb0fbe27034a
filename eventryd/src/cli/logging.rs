//! Where the log goes when nobody says so, and what the environment says about it.

use crate::config::{Origin, SettingValue};
use crate::log::{Destination, Level, Output};
use std::env;
use std::path::{Path, PathBuf};

/// Where the journal listens.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The settings that the environment stands for (DM-1601).
///
/// # Errors
///
/// A message if a variable makes no sense.
pub(super) fn environment_settings() -> Result<Vec<(&'static str, SettingValue, Origin)>, String> {
    let mut settings = Vec::new();
    if let Some(level) = env_text("LIBVIRT_DEBUG")? {
        let level = Level::from_name(&level).ok_or_else(|| {
            format!("LIBVIRT_DEBUG is {level:?}; it must be 1 to 4, debug, info, warning or error")
        })?;
        let origin = Origin::Environment("LIBVIRT_DEBUG");
        settings.push(("log_level", SettingValue::Integer(level as i64), origin));
    }
    for (name, key) in [
        ("LIBVIRT_LOG_FILTERS", "log_filters"),
        ("LIBVIRT_LOG_OUTPUTS", "log_outputs"),
    ] {
        if let Some(text) = env_text(name)? {
            settings.push((key, SettingValue::Text(text), Origin::Environment(name)));
        }
    }
    Ok(settings)
}

fn env_text(name: &'static str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}

/// Where the log goes if no setting says so: to standard error, or to the journal if standard error is it;
/// in the background to the journal if there is one, else to a file (DM-1603).
pub(super) fn default_outputs(in_background: bool) -> Vec<Output> {
    let everything = |destination| Output {
        level: Level::Trace,
        destination,
    };
    let journal = Output {
        level: Level::Info,
        destination: Destination::Journald,
    };
    let has_journal = Path::new(JOURNAL_SOCKET).exists();
    let output = if has_journal && (in_background || is_stderr_the_journal()) {
        journal
    } else if !in_background {
        everything(Destination::Stderr)
    } else {
        everything(Destination::File(default_log_file()))
    };
    vec![output]
}

/// Makes the directory of the file that a daemon in the background logs to, if the log goes there.
pub(super) fn create_log_directory(outputs: &[Output]) {
    let default = Destination::File(default_log_file());
    if outputs.iter().any(|output| output.destination == default)
        && let Destination::File(path) = default
        && let Some(directory) = path.parent()
    {
        // If it cannot be made, the file in it cannot be opened, and that is told.
        let _ = std::fs::create_dir_all(directory);
    }
}

/// The file that a daemon in the background logs to.
fn default_log_file() -> PathBuf {
    let path = |name| env::var_os(name).map(PathBuf::from);
    let user_cache = path("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| path("HOME").map(|home| home.join(".cache")));
    let directory = match user_cache {
        Some(directory) if !rustix::process::geteuid().is_root() => directory,
        _ => PathBuf::from("/var/log"),
    };
    directory.join("eventry/eventryd.log")
}

/// Whether standard error is what `$JOURNAL_STREAM` names, so that the journal need not guess levels.
fn is_stderr_the_journal() -> bool {
    let (Ok(stream), Ok(stderr)) = (
        env::var("JOURNAL_STREAM"),
        rustix::fs::fstat(std::io::stderr()),
    ) else {
        return false;
    };
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}
