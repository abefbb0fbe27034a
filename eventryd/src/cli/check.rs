//! Checks of a loaded configuration, for the start and for `--check-config`.

use super::ExitError;
use super::INVALID_CONFIG_STATUS;
use crate::config::LoadedConfig;
use crate::log::{Destination, SinkError};
use crate::net::RunDir;
use crate::server::{self, ConfigCheck, DaemonError};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use std::path::Path;

/// Checks the log files and everything that [`server::check`] checks. Returns the result without errors.
///
/// # Errors
///
/// All errors, with the location of the setting that causes each; the exit status is that of the
/// first.
pub(super) fn check(loaded: &LoadedConfig) -> Result<ConfigCheck, ExitError> {
    let checked = server::check(&loaded.daemon);
    let log = log_errors(loaded).into_iter().map(|error| {
        (
            INVALID_CONFIG_STATUS,
            &["log_outputs"][..],
            error.to_string(),
        )
    });
    let server = checked
        .errors
        .iter()
        .map(|error| (error.exit_status(), error.settings(), error.to_string()));
    let errors: Vec<(u8, String)> = log
        .chain(server)
        .map(|(status, settings, message)| (status, with_location(loaded, settings, message)))
        .collect();
    match errors.first() {
        None => Ok(checked),
        Some((status, _)) => Err(ExitError {
            status: *status,
            messages: errors.iter().map(|(_, message)| message.clone()).collect(),
        }),
    }
}

/// Returns an error of the daemon with the location of the setting that causes it.
pub(super) fn located(loaded: &LoadedConfig, error: &DaemonError) -> ExitError {
    let message = with_location(loaded, error.settings(), error.to_string());
    ExitError::new(error.exit_status(), message)
}

fn with_location(loaded: &LoadedConfig, settings: &[&str], message: String) -> String {
    match loaded.location(settings) {
        Some(location) => format!("{location}: {message}"),
        None => message,
    }
}

fn log_errors(loaded: &LoadedConfig) -> Vec<SinkError> {
    let is_default = !loaded.settings.is_explicit("log_outputs");
    let outputs = loaded.log.outputs.iter();
    outputs
        .filter_map(|output| match &output.destination {
            Destination::File(path) => {
                let source = check_log_file(path, is_default).err()?.into();
                let path = path.clone();
                Some(SinkError::File { path, source })
            }
            _ => None,
        })
        .collect()
}

/// Checks that a file exists and can be written, or can be created.
fn check_log_file(path: &Path, creates_directory: bool) -> Result<(), Errno> {
    let access = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS);
    match access(path, Access::WRITE_OK) {
        Ok(()) if path.is_dir() => Err(Errno::ISDIR),
        Err(Errno::NOENT) => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            let is_creatable = || RunDir::Chosen(directory.to_owned()).check().is_ok();
            match access(directory, Access::WRITE_OK | Access::EXEC_OK) {
                Err(Errno::NOENT) if creates_directory && is_creatable() => Ok(()),
                result => result,
            }
        }
        result => result,
    }
}
