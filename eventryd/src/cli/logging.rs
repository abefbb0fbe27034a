//! Default outputs of the log, and its environment variables.

use crate::config::{Origin, SettingValue};
use crate::log::{Destination, Level, Output};
use std::env;
use std::path::{Path, PathBuf};

/// Path of the journal's socket.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Returns the settings from the environment variables of libvirt's log (DM-1601).
///
/// # Errors
///
/// A message if a variable has an invalid value.
pub(super) fn environment_settings() -> Result<Vec<(&'static str, SettingValue, Origin)>, String> {
    let mut settings = Vec::new();
    if let Some(level) = env_text("LIBVIRT_DEBUG")? {
        let level = Level::from_name(&level).ok_or_else(|| {
            format!("LIBVIRT_DEBUG must be 1 to 4, debug, info, warning or error, not {level:?}")
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

/// Returns the outputs for a log without `log_outputs` (DM-1603).
///
/// In the foreground the log goes to standard error, or to the journal if standard error is
/// connected to it. In the background it goes to the journal or, if there is none, to a file.
pub(super) fn default_outputs(in_background: bool) -> Vec<Output> {
    let has_journal = Path::new(JOURNAL_SOCKET).exists();
    let to_journal = uses_journal(has_journal, in_background, is_stderr_the_journal());
    vec![default_output(to_journal, in_background)]
}

const fn uses_journal(has_journal: bool, in_background: bool, is_stderr_the_journal: bool) -> bool {
    has_journal && (in_background || is_stderr_the_journal)
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
        everything(Destination::File(default_log_file()))
    }
}

/// Creates the directory of the default log file, if one of `outputs` is that file.
pub(super) fn create_log_directory(outputs: &[Output]) {
    let default = default_log_file();
    if let Some(directory) = directory_of(&default, outputs) {
        // A failure is reported when the file is opened.
        let _ = std::fs::create_dir_all(directory);
    }
}

/// Returns the directory of a log file, if one of `outputs` is that file.
fn directory_of<'a>(file: &'a Path, outputs: &[Output]) -> Option<&'a Path> {
    let mut outputs = outputs.iter();
    let is_used = outputs
        .any(|output| matches!(&output.destination, Destination::File(path) if path == file));
    file.parent().filter(|_| is_used)
}

/// Returns the path of the default log file of a daemon in the background.
fn default_log_file() -> PathBuf {
    let path = |name| env::var_os(name).map(PathBuf::from);
    let is_root = rustix::process::geteuid().is_root();
    log_file_of(is_root, path("XDG_CACHE_HOME"), path("HOME"))
}

fn log_file_of(is_root: bool, cache: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
    let user_cache = cache
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".cache")))
        .filter(|path| path.is_absolute());
    let directory = match user_cache {
        Some(directory) if !is_root => directory,
        _ => PathBuf::from("/var/log"),
    };
    directory.join("eventry/eventryd.log")
}

/// Returns `true` if standard error is the journal's socket, as `$JOURNAL_STREAM` names it
/// (systemd.exec(5)). The journal's own protocol keeps the levels, which standard error would lose.
fn is_stderr_the_journal() -> bool {
    let (Ok(stream), Ok(stderr)) = (
        env::var("JOURNAL_STREAM"),
        rustix::fs::fstat(std::io::stderr()),
    ) else {
        return false;
    };
    names_file(&stream, stderr.st_dev, stderr.st_ino)
}

/// Returns `true` if a text such as `8:1234` names the device and the inode of a file.
fn names_file(text: &str, device: u64, inode: u64) -> bool {
    text == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DM-1603
    #[test]
    fn default_output_is_journal_file_or_stderr() {
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

    #[test]
    fn journal_is_used_in_the_background_or_as_standard_error() {
        for (has_journal, in_background, is_stderr, expected) in [
            (true, true, false, true),
            (true, false, true, true),
            (true, false, false, false),
            (false, true, true, false),
        ] {
            assert_eq!(
                uses_journal(has_journal, in_background, is_stderr),
                expected
            );
        }
        assert!(names_file("8:12", 8, 12));
        for other in ["8:13", "9:12", "8", ""] {
            assert!(!names_file(other, 8, 12), "{other}");
        }
    }

    #[test]
    fn log_file_of_a_user_is_in_the_cache() {
        let path = |text: &str| Some(PathBuf::from(text));
        let of = |is_root, cache, home| log_file_of(is_root, cache, home).display().to_string();
        let system = "/var/log/eventry/eventryd.log";
        assert_eq!(of(true, path("/c"), path("/h")), system);
        assert_eq!(of(false, path("/c"), path("/h")), "/c/eventry/eventryd.log");
        assert_eq!(
            of(false, path("c"), path("/h")),
            "/h/.cache/eventry/eventryd.log"
        );
        assert_eq!(of(false, None, path("h")), system);
        assert_eq!(of(false, None, None), system);
    }

    #[test]
    fn directory_is_only_that_of_a_file_in_use() {
        let file = Path::new("/a/b");
        let used = |path: &str| {
            let destination = Destination::File(path.into());
            let level = Level::Info;
            directory_of(file, &[Output { level, destination }])
        };
        assert_eq!(used("/a/b"), Some(Path::new("/a")));
        assert_eq!(used("/a/c"), None);
    }
}
