//! `eventryd`: options, configuration, log and exit status around [`crate::server::run_process`].

mod announce;
mod background;
mod files;
mod logging;
mod options;
mod passwd;
mod process;

use crate::auth::password_file_in;
use crate::config::{Effective, Fault, Format, Given, sample};
use crate::driver::{Driver, MemoryDriver};
use crate::log::Logger;
use crate::net::tls::TlsFiles;
use crate::net::{RunDir, default_run_dir};
use crate::server::{Config, ProcessHooks, Signals, run_process};
use announce::{announce, listeners};
use clap::Parser;
use files::{ConfigFile, default_directory};
use options::{Command, Options};
use process::{Configuration, Reloader, Watcher};
use std::convert::Infallible;
use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The status after a wrong option or configuration (DM-106).
const WRONG: u8 = 1;

/// Runs the program with the arguments of the process, and returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(asked_or_wrong) => {
            // Nobody may be reading.
            let _ = asked_or_wrong.print();
            let is_wrong = asked_or_wrong.use_stderr();
            return ExitCode::from(if is_wrong { WRONG } else { 0 });
        }
    };
    let ended = match &options.command {
        Some(Command::Passwd(passwd)) => passwd
            .carry_out(path_in("XDG_CONFIG_HOME"), path_in("HOME"))
            .map(complain)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::new(WRONG, error)),
        None => carry_out(&options),
    };
    match ended {
        Ok(status) => status,
        Err(Failure { status, texts }) => {
            // Shown whatever the log says: without it nobody would know why there is no daemon.
            for text in texts {
                complain(text);
            }
            ExitCode::from(status)
        }
    }
}

/// Why there is no daemon.
struct Failure {
    status: u8,
    texts: Vec<String>,
}

impl Failure {
    fn new(status: u8, text: impl Display) -> Failure {
        Failure {
            status,
            texts: vec![text.to_string()],
        }
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Failure {
        Failure {
            status: WRONG,
            texts: faults.iter().map(Fault::to_string).collect(),
        }
    }
}

fn carry_out(options: &Options) -> Result<ExitCode, Failure> {
    if let Some(syntax) = options.print_sample {
        print(&sample(syntax.into()));
        return Ok(ExitCode::SUCCESS);
    }
    let only_looks = options.check_config || options.print_config;
    let signals = if only_looks || options.starts_background() {
        None
    } else {
        // Before anything is begun that a signal could leave half done.
        let caught = Signals::catch();
        Some(caught.map_err(|error| Failure::new(4, format!("cannot catch signals: {error}")))?)
    };
    let configuration = configuration(options)?;
    let effective = configuration.read()?;
    if options.print_config {
        print(&effective.print());
    }
    if options.check_config {
        effective.remarks().iter().for_each(complain);
        print(&listeners(&effective.daemon));
    }
    match signals {
        Some(signals) => serve(options, configuration, effective, signals),
        None if only_looks => Ok(ExitCode::SUCCESS),
        None => background::start()
            .map_err(|error| Failure::new(3, format!("cannot start in the background: {error}"))),
    }
}

/// What the configuration is made of.
fn configuration(options: &Options) -> Result<Configuration, Failure> {
    let wrong = |text: String| Failure::new(WRONG, text);
    let directory = env::current_dir()
        .map_err(|error| wrong(format!("cannot tell the working directory: {error}")))?;
    let uid = rustix::process::geteuid().as_raw();
    let file = match &options.config {
        Some(path) => {
            let format = options.config_format.map(Format::from);
            let format = format.unwrap_or_else(|| Format::of(path));
            ConfigFile::Named(directory.join(path), format)
        }
        None => ConfigFile::In(default_directory(
            uid,
            path_in("XDG_CONFIG_HOME"),
            path_in("HOME"),
        )),
    };
    // Root's are those of the system.
    let home = path_in("HOME").filter(|_| uid != 0);
    let given = Given {
        environment: logging::environment().map_err(wrong)?,
        options: options.settings(&directory).map_err(wrong)?,
        trace: options.trace(),
        default_outputs: logging::default_outputs(options.in_background),
        directory,
        base: base(uid),
        tls_files: TlsFiles::default_for(home.as_deref(), Path::exists),
    };
    Ok(Configuration { file, given })
}

/// What holds if nobody says anything.
fn base(uid: u32) -> Config {
    let mut base = Config::new(run_dir(uid));
    base.socket_activation = true;
    let directory = default_directory(uid, path_in("XDG_CONFIG_HOME"), path_in("HOME"));
    base.sasl.password_file = password_file_in(&directory);
    base
}

/// Where the sockets go if nobody says so.
fn run_dir(uid: u32) -> RunDir {
    let runtime = path_in("XDG_RUNTIME_DIR");
    default_run_dir(uid, runtime.as_deref(), &env::temp_dir())
}

fn path_in(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|path| !path.is_empty())?;
    Some(Path::new(&path).to_owned())
}

/// Serves until it is stopped.
fn serve(
    options: &Options,
    configuration: Configuration,
    effective: Effective,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    if options.in_background {
        background::leave_terminal()
            .map_err(|error| Failure::new(3, format!("cannot leave the terminal: {error}")))?;
    }
    logging::make_directory(&effective.log.outputs);
    let logger = Logger::install(&effective.log).map_err(|error| Failure::new(WRONG, error))?;
    for remark in effective.remarks() {
        tracing::warn!("{remark}");
    }
    if options.listen {
        tracing::info!("option --listen has no effect here: listen_tcp and listen_tls decide");
    }
    let watcher = Watcher::default();
    let grace = effective.daemon.shutdown_grace;
    let mut reloader = Reloader {
        configuration,
        logger: logger.clone(),
        started: effective.clone(),
        current: effective.clone(),
        watcher: watcher.clone(),
    };
    let process = ProcessHooks {
        signals,
        on_reload: Box::new(move |control| reloader.reload(control)),
        on_stop: Box::new(move || Watcher::stopping(grace)),
    };
    let initialise_driver =
        || Ok::<_, Infallible>(Arc::new(MemoryDriver::new()) as Arc<dyn Driver>);
    let ended = run_process(&effective.daemon, process, initialise_driver, |ready| {
        announce::log(&ready);
        watcher.serves();
        if !options.in_background {
            announce(&ready);
        } else if let Err(error) = background::serves() {
            tracing::error!("cannot leave standard output and error: {error}");
        }
    });
    logger.finish();
    match ended {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(Failure::new(error.exit_status(), error)),
    }
}

fn print(text: &str) {
    // Nobody may be reading.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "eventryd: {text}");
}
