//! Where the log goes when nobody says so, and what the environment says about it.

use crate::config::{Origin, Value};
use crate::log::{Destination, Level, Output};
use std::env;
use std::path::{Path, PathBuf};

/// Where the journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The settings that the environment stands for (DM-1601).
///
/// # Errors
///
/// A message if a variable makes no sense.
pub(super) fn environment() -> Result<Vec<(&'static str, Value, Origin)>, String> {
    let mut settings = Vec::new();
    if let Some(level) = variable("LIBVIRT_DEBUG")? {
        let level = Level::from_name(&level).ok_or_else(|| {
            format!("LIBVIRT_DEBUG is {level:?}; it must be 1 to 4, debug, info, warning or error")
        })?;
        let origin = Origin::Environment("LIBVIRT_DEBUG");
        settings.push(("log_level", Value::Integer(level as i64), origin));
    }
    for (name, key) in [
        ("LIBVIRT_LOG_FILTERS", "log_filters"),
        ("LIBVIRT_LOG_OUTPUTS", "log_outputs"),
    ] {
        if let Some(text) = variable(name)? {
            settings.push((key, Value::Text(text), Origin::Environment(name)));
        }
    }
    Ok(settings)
}

fn variable(name: &'static str) -> Result<Option<String>, String> {
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
    let has_journal = Path::new(JOURNAL).exists();
    let to_journal = has_journal && (in_background || is_stderr_the_journal());
    vec![default_output(to_journal, in_background)]
}

fn default_output(to_journal: bool, in_background: bool) -> Output {
    let everything = |destination| Output {
        level: Level::Trace,
        destination,
    };
    let journal = Output {
        level: Level::Info,
        destination: Destination::Journald,
    };
    if to_journal {
        journal
    } else if !in_background {
        everything(Destination::Stderr)
    } else {
        everything(Destination::File(default_file()))
    }
}

/// Makes the directory of the file that a daemon in the background logs to, if the log goes there.
pub(super) fn make_directory(outputs: &[Output]) {
    let default = default_file();
    let is_used = outputs
        .iter()
        .any(|output| matches!(&output.destination, Destination::File(path) if *path == default));
    if !is_used {
        return;
    }
    if let Some(directory) = default.parent() {
        // If it cannot be made, the file in it cannot be opened, and that is told.
        let _ = std::fs::create_dir_all(directory);
    }
}

/// The file that a daemon in the background logs to.
fn default_file() -> PathBuf {
    let path = |name| env::var_os(name).map(PathBuf::from);
    let of_user = path("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| path("HOME").map(|home| home.join(".cache")));
    let directory = match of_user {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// DM-1603
    #[test]
    fn the_log_goes_to_the_journal_to_a_file_or_to_standard_error() {
        let journal = default_output(true, true);
        assert_eq!(journal.destination, Destination::Journald);
        assert_eq!(journal.level, Level::Info);
        assert_eq!(default_output(true, false), journal);
        let foreground = default_output(false, false);
        assert_eq!(foreground.destination, Destination::Stderr);
        let Destination::File(path) = default_output(false, true).destination else {
            panic!("not a file");
        };
        assert!(path.ends_with("eventry/eventryd.log"), "{path:?}");
    }
}
