//! Command line of `eventryd`: options, configuration, log and exit status around
//! [`crate::server::run_process`].

mod background;
mod check;
mod conflicts;
mod endpoints;
mod files;
mod inherited;
mod logging;
mod options;
mod passwd;
mod process;
mod reload_schedule;
mod service_manager;

use crate::auth::default_password_file;
use crate::config::{ConfigError, ConfigFormat, LoadedConfig, Overrides, WorkingDir, sample_file};
use crate::driver::{Driver, MemoryDriver};
use crate::log::{Logger, log_panics};
use crate::net::tls::TlsFiles;
use crate::net::{RunDir, default_run_dir};
use crate::output::{StandardStream, print_in_time};
use crate::server::{Config, Credentials, ProcessHooks, Ready, Signals, run_process};
use clap::Parser;
use endpoints::configured_listeners;
use files::{ConfigLocation, config_directory};
use options::{Command, Options};
use process::{ConfigInputs, Reloader};
use service_manager::ServiceManager;
use std::convert::Infallible;
use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Exit status after an invalid option or configuration (DM-106).
const INVALID_CONFIG_STATUS: u8 = 1;

/// Longest wait for a standard stream.
const PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the program with the arguments of the process. Returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            return ExitCode::from(INVALID_CONFIG_STATUS);
        }
        Err(help) => return exit_code(print(&help.to_string()).map(|()| ExitCode::SUCCESS)),
    };
    inherited::set_umask();
    exit_code(match &options.command {
        Some(Command::Passwd(passwd)) => passwd
            .run(env_path("XDG_CONFIG_HOME"), env_path("HOME"))
            .map(|done| print_messages([done]))
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| ExitError::new(INVALID_CONFIG_STATUS, error)),
        None => run(&options),
    })
}

/// Prints the error, and returns the exit status of the process.
fn exit_code(result: Result<ExitCode, ExitError>) -> ExitCode {
    match result {
        Ok(status) => status,
        Err(ExitError { status, messages }) => {
            // Printed even if the log has another output, because users expect the cause of a
            // failed start on standard error.
            print_messages(messages);
            ExitCode::from(status)
        }
    }
}

/// Failure of the program, with its exit status.
struct ExitError {
    status: u8,
    messages: Vec<String>,
}

impl ExitError {
    fn new(status: u8, message: impl Display) -> ExitError {
        ExitError {
            status,
            messages: vec![message.to_string()],
        }
    }
}

impl From<Vec<ConfigError>> for ExitError {
    fn from(errors: Vec<ConfigError>) -> ExitError {
        ExitError {
            status: INVALID_CONFIG_STATUS,
            messages: errors.iter().map(ConfigError::to_string).collect(),
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, ExitError> {
    if let Some(syntax) = options.print_sample {
        print(&sample_file(syntax.into()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_dry_run = options.check_config || options.print_config;
    if !options.is_launcher() {
        // Before anything is opened. The child of a launcher inherits all files.
        inherited::close_descriptors_on_exec();
    }
    let signal_error = |error| ExitError::new(4, format!("cannot catch signals: {error}"));
    let signals = if is_dry_run || options.is_launcher() {
        None
    } else {
        // Before anything is created that a signal could leave behind.
        Some(Signals::catch().map_err(signal_error)?)
    };
    inherited::catch_signals_without_effect().map_err(signal_error)?;
    inherited::unblock_signals().map_err(signal_error)?;
    if options.is_launcher() && !is_dry_run {
        // The child reads the configuration, which may be a pipe, and reports its errors.
        return background::launch().map_err(|error| {
            ExitError::new(3, format!("cannot start in the background: {error}"))
        });
    }
    let Some(signals) = signals else {
        return inherited::interruptible(|| dry_run(options)).map_err(signal_error)?;
    };
    let mut inputs = config_inputs(options)?;
    let prepared = inherited::interruptible(|| prepare(options, &mut inputs, &signals));
    match prepared.map_err(signal_error)?? {
        Some(prepared) => serve(options, inputs, prepared, signals),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Prints or checks the configuration.
fn dry_run(options: &Options) -> Result<ExitCode, ExitError> {
    let loaded = config_inputs(options)?.load()?;
    if options.print_config {
        print(&loaded.render())?;
    }
    if options.check_config {
        let checked = check::check(&loaded);
        let of_files = checked.iter().flat_map(|checked| checked.warnings.clone());
        let warnings = loaded.warnings().into_iter().chain(of_files);
        let warnings = warnings.map(|warning| format!("warning: {warning}"));
        let notes = loaded.notes().into_iter();
        print_messages(warnings.chain(notes.map(|note| format!("note: {note}"))));
        checked?;
        print(&configured_listeners(&loaded.daemon))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Configuration with the files that it names, which a start reads once.
struct Prepared {
    loaded: LoadedConfig,
    credentials: Credentials,
}

/// Reads everything that the start needs, and leaves the terminal if the daemon runs in the background. Returns `None`
/// if a signal that stops the daemon came before, as the files may block.
fn prepare(
    options: &Options,
    inputs: &mut ConfigInputs,
    signals: &Signals,
) -> Result<Option<Prepared>, ExitError> {
    if signals.is_stop_requested() {
        return Ok(None);
    }
    let loaded = inputs.load()?;
    if options.in_background {
        background::leave_terminal()
            .map_err(|error| ExitError::new(3, format!("cannot leave the terminal: {error}")))?;
    }
    // The same checks as those of `--check-config`. Their warnings are logged by the start.
    let credentials = check::check(&loaded)?.credentials;
    Ok(Some(Prepared {
        loaded,
        credentials,
    }))
}

/// Returns the sources of the configuration: the location of the file, and the overrides.
fn config_inputs(options: &Options) -> Result<ConfigInputs, ExitError> {
    let invalid = |text: String| ExitError::new(INVALID_CONFIG_STATUS, text);
    let directory = WorkingDir::new(env::current_dir());
    let uid = rustix::process::geteuid().as_raw();
    let location = match &options.config {
        Some(path) => {
            let format = options.config_format.map(ConfigFormat::from);
            let format = format.unwrap_or_else(|| ConfigFormat::from_path(path));
            ConfigLocation::File(directory.resolve(path).map_err(invalid)?, format)
        }
        None => ConfigLocation::Directory(config_directory(
            uid,
            env_path("XDG_CONFIG_HOME"),
            env_path("HOME"),
        )),
    };
    // Root uses the files of the system, not those in its home directory.
    let home = env_path("HOME").filter(|_| uid != 0);
    let overrides = Overrides {
        environment: logging::environment_settings().map_err(invalid)?,
        options: options.settings(&directory).map_err(invalid)?,
        trace: options.is_trace(),
        default_outputs: logging::default_outputs(options.in_background),
        working_dir: directory,
        base: default_config(uid),
        tls_files: TlsFiles::default_for(home.as_deref(), Path::exists),
    };
    Ok(ConfigInputs::new(location, overrides))
}

/// Returns the server configuration without any setting.
fn default_config(uid: u32) -> Config {
    let mut config = Config::new(run_dir(uid));
    config.socket_activation = true;
    let directory = config_directory(uid, env_path("XDG_CONFIG_HOME"), env_path("HOME"));
    config.sasl.password_file = default_password_file(&directory);
    config
}

/// Returns the default directory of the sockets.
fn run_dir(uid: u32) -> RunDir {
    let runtime = env_path("XDG_RUNTIME_DIR");
    let temporary = env_path("TMPDIR").unwrap_or_else(|| "/tmp".into());
    default_run_dir(uid, runtime.as_deref(), &temporary)
}

/// Returns an environment variable as a path, or `None` if it is unset or not an absolute path: the daemon leaves its
/// working directory.
fn env_path(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).map(PathBuf::from);
    path.filter(|path| path.is_absolute())
}

/// Runs the daemon until it is stopped.
fn serve(
    options: &Options,
    inputs: ConfigInputs,
    prepared: Prepared,
    signals: Signals,
) -> Result<ExitCode, ExitError> {
    let Prepared {
        loaded,
        credentials,
    } = prepared;
    // All paths are absolute now. The daemon keeps no file system in use.
    env::set_current_dir("/")
        .map_err(|error| ExitError::new(3, format!("cannot change to the directory /: {error}")))?;
    logging::create_log_directory(&loaded.log.outputs);
    let logger = Logger::install(&loaded.log)
        .map_err(|error| ExitError::new(INVALID_CONFIG_STATUS, error))?;
    let _log = LogUntilEnd(logger.clone());
    log_panics();
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
    for note in loaded.notes() {
        tracing::info!("{note}");
    }
    if options.listen {
        tracing::info!(
            "option --listen has no effect: listen_tcp and listen_tls enable the network sockets"
        );
    }
    let service_manager = ServiceManager::from_environment();
    let reloader = Reloader::new(
        inputs,
        logger.clone(),
        loaded.clone(),
        service_manager.clone(),
    );
    let process = ProcessHooks {
        signals,
        on_stop: Box::new({
            let (service_manager, reloader) = (service_manager.clone(), reloader.clone());
            move || service_manager.notify_stopping(reloader.shutdown_grace())
        }),
        on_reload: Box::new(move |control| reloader.request(control)),
    };
    let create_driver = || Ok::<_, Infallible>(Arc::new(MemoryDriver::new()) as Arc<dyn Driver>);
    let on_ready = |ready: Ready| {
        endpoints::log(&ready);
        service_manager.notify_started();
        if !options.in_background {
            endpoints::print(&ready);
            return;
        }
        // Lines that are queued for standard error must not go to /dev/null.
        logger.flush();
        if let Err(error) = background::detach() {
            tracing::error!("cannot detach from standard output and standard error: {error}");
        }
    };
    let result = run_process(
        &loaded.daemon,
        credentials,
        process,
        create_driver,
        on_ready,
    );
    service_manager.flush();
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(check::located(&loaded, &error)),
    }
}

/// Log that is written when the daemon ends, also by an error or a panic.
struct LogUntilEnd(Logger);

impl Drop for LogUntilEnd {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Prints to standard output. A reader that has gone is no error.
fn print(text: &str) -> Result<(), ExitError> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ExitError::new(
            INVALID_CONFIG_STATUS,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Prints on standard error. A full one must not delay the end of the process.
fn print_messages(messages: impl IntoIterator<Item = impl Display>) {
    let messages = messages.into_iter();
    let texts: Vec<_> = messages.map(|text| format!("eventryd: {text}\n")).collect();
    if !texts.is_empty() {
        print_in_time(StandardStream::Error, texts, PRINT_TIMEOUT);
    }
}
