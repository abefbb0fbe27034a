//! Checks of a loaded configuration, for the start and for `--check-config`.

use super::ExitError;
use super::INVALID_CONFIG_STATUS;
use super::conflicts::conflicts;
use crate::config::{LoadedConfig, Origin};
use crate::log::SinkError;
use crate::net::RunDir;
use crate::server::{self, ConfigCheck, DaemonError};

/// Checks that no file has two purposes, the log files, and everything that [`server::check`] checks. Returns the result without errors.
///
/// # Errors
///
/// All errors, with the location of the setting that causes each; the exit status is that of the
/// first.
pub(super) fn check(loaded: &LoadedConfig) -> Result<ConfigCheck, ExitError> {
    let mut checked = server::check(&loaded.daemon);
    let conflicts = conflicts(loaded).into_iter();
    let conflicts = conflicts.map(|error| (INVALID_CONFIG_STATUS, error.to_string()));
    let (log_warnings, log_errors) = check_log(loaded);
    checked.warnings.extend(log_warnings);
    let log = log_errors.into_iter().map(|error| {
        let cause = loaded.cause(&["log_outputs"]);
        let message = with_location(cause, error.to_string());
        (INVALID_CONFIG_STATUS, message)
    });
    let server = checked
        .errors
        .iter()
        .map(|error| (error.exit_status(), message(loaded, error)));
    let errors: Vec<(u8, String)> = conflicts.chain(log).chain(server).collect();
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
    ExitError::new(error.exit_status(), message(loaded, error))
}

fn message(loaded: &LoadedConfig, error: &DaemonError) -> String {
    let cause = loaded.cause(error.settings());
    let message = match cause {
        Some(Origin::Option(option)) => error.message_for_option(option),
        _ => error.to_string(),
    };
    with_location(cause, message)
}

fn with_location(cause: Option<&Origin>, message: String) -> String {
    match cause {
        Some(origin) => format!("{}: {message}", origin.location()),
        None => message,
    }
}

/// Checks the outputs of the log. Returns their warnings and errors.
fn check_log(loaded: &LoadedConfig) -> (Vec<String>, Vec<SinkError>) {
    let is_default = !loaded.settings.is_explicit("log_outputs");
    let (mut warnings, mut errors) = (Vec::new(), Vec::new());
    for output in &loaded.log.outputs {
        match output.check(&loaded.log.sockets) {
            Ok(warning) => warnings.extend(warning),
            Err(error) if is_default && is_in_new_directory(&error) => {}
            Err(error) => errors.push(error),
        }
    }
    (warnings, errors)
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
