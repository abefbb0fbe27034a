//! Checks of a loaded configuration, for the start and for `--check-config`.

use super::ExitError;
use super::INVALID_CONFIG_STATUS;
use crate::config::LoadedConfig;
use crate::log::SinkError;
use crate::net::RunDir;
use crate::server::{self, ConfigCheck, DaemonError};

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
        .filter_map(|output| output.check(&loaded.log.sockets).err())
        .filter(|error| !(is_default && is_in_new_directory(error)))
        .collect()
}

/// Returns `true` if a log file is missing because the start has yet to create its directory.
fn is_in_new_directory(error: &SinkError) -> bool {
    let SinkError::File { path, .. } = error else {
        return false;
    };
    path.parent().is_some_and(|directory| {
        !directory.exists() && RunDir::Chosen(directory.to_owned()).check().is_ok()
    })
}
