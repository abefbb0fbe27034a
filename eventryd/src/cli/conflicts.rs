//! Files that a configuration uses for two purposes.

use crate::config::{ConfigError, LoadedConfig, Origin};
use crate::net::PidFile;
use crate::trusted_path::follow_links;
use std::fs;
use std::path::{Path, PathBuf};

/// File that the daemon creates besides its log.
struct OwnFile {
    path: PathBuf,
    /// Purpose of the file, such as "pid file".
    purpose: &'static str,
    /// Setting that names the file or its directory.
    setting: &'static str,
}

/// Returns an error for each log file that is also a socket or a pid file, and for a configured pid file that is also a
/// socket. Paths that lead to one file by symbolic links are the same.
pub(super) fn conflicts(loaded: &LoadedConfig) -> Vec<ConfigError> {
    let own = own_files(loaded);
    let (pid_files, others): (Vec<&OwnFile>, Vec<&OwnFile>) = own
        .iter()
        .partition(|file| file.setting == "eventry_pid_file");
    let of_pid_file = pid_files.iter().flat_map(|pid_file| {
        let same = others.iter().filter(|other| is_same(pid_file, &other.path));
        same.map(|other| {
            let first = format!("the pid file {}", pid_file.path.display());
            conflict(loaded, "eventry_pid_file", &first, other)
        })
    });
    of_pid_file.chain(log_conflicts(loaded, loaded)).collect()
}

/// Returns an error for each log file of `loaded` that is also a file of a daemon with the configuration `running`.
pub(super) fn log_conflicts(loaded: &LoadedConfig, running: &LoadedConfig) -> Vec<ConfigError> {
    let own = own_files(running);
    let errors = loaded.log.files().flat_map(|log| {
        let same = own.iter().filter(|file| is_same(file, log));
        same.map(|file| {
            let first = format!("the log file {}", log.display());
            conflict(loaded, "log_outputs", &first, file)
        })
    });
    errors.collect()
}

/// Returns the error about a file of `setting`, which is described by `first`.
fn conflict(loaded: &LoadedConfig, setting: &str, first: &str, file: &OwnFile) -> ConfigError {
    let (own, other) = (named(loaded, setting), named(loaded, file.setting));
    ConfigError {
        location: loaded
            .cause(&[setting, file.setting])
            .map_or_else(|| "default".to_owned(), Origin::location),
        message: format!(
            "{first} ({own}) and the {} {} ({other}) are the same file; choose another path for one of them",
            file.purpose,
            file.path.display()
        ),
        excerpt: None,
    }
}

/// Returns the name of a setting, or the option that stands for it.
fn named(loaded: &LoadedConfig, setting: &str) -> String {
    match loaded.settings.origin(setting) {
        Some(Origin::Option(option)) => format!("option {option}"),
        _ => format!("`{setting}`"),
    }
}

fn own_files(loaded: &LoadedConfig) -> Vec<OwnFile> {
    let daemon = &loaded.daemon;
    let own = |path, purpose, setting| OwnFile {
        path,
        purpose,
        setting,
    };
    let in_run_dir = PidFile::path_in(daemon.run_dir.path());
    let configured = daemon.pid_file.clone();
    let configured = configured.map(|path| own(path, "pid file", "eventry_pid_file"));
    let mut files: Vec<OwnFile> = configured.into_iter().collect();
    files.push(own(in_run_dir, "pid file", "unix_sock_dir"));
    for path in [daemon.socket_path(), daemon.read_only_socket_path()] {
        files.push(own(path, "socket", "unix_sock_dir"));
    }
    files
}

fn is_same(file: &OwnFile, path: &Path) -> bool {
    real_path(&file.path) == real_path(path)
}

/// Returns the path without symbolic links. The file and its directories need not exist.
fn real_path(path: &Path) -> PathBuf {
    let path = follow_links(path).unwrap_or_else(|_| path.to_owned());
    match (fs::canonicalize(&path), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => real_path(parent).join(name),
        _ => path,
    }
}
