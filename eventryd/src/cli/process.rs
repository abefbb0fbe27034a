//! Reload on SIGHUP.

use super::conflicts::{conflicts, log_conflicts};
use super::files::{ConfigLocation, ReadOccasion};
use super::reload_schedule::{ReloadRequest, ReloadSchedule};
use super::service_manager::ServiceManager;
use crate::config::{ConfigError, ConfigFile, LoadedConfig, Overrides, ReloadEffect, SettingSpec};
use crate::log::{Logger, PreparedLogConfig, SinkError};
use crate::server::{Control, DaemonError, PreparedConfig};
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Time after which a reload is reported as failed. A reader that waits for a file or a file system may hang for ever.
const RELOAD_DEADLINE: Duration = Duration::from_secs(10);

/// Sources of the configuration, kept to load it again on SIGHUP.
#[derive(Clone, Debug)]
pub(super) struct ConfigInputs {
    location: ConfigLocation,
    overrides: Overrides,
    /// Configuration file that can be read only once, such as a pipe (DM-1309).
    read_once: Option<ConfigFile>,
}

impl ConfigInputs {
    pub(super) fn new(location: ConfigLocation, overrides: Overrides) -> ConfigInputs {
        ConfigInputs {
            location,
            overrides,
            read_once: None,
        }
    }

    /// Reads the file for the first time and combines it with the overrides.
    ///
    /// # Errors
    ///
    /// Every error in the configuration.
    pub(super) fn load(&mut self) -> Result<LoadedConfig, Vec<ConfigError>> {
        let found = self.location.read(ReadOccasion::Start);
        let found = found.map_err(|error| vec![error])?;
        let loaded = self.overrides.load(found.as_ref().map(|found| &found.file));
        self.read_once = found
            .filter(|found| !found.is_regular)
            .map(|found| found.file);
        loaded
    }

    /// Reads the file again, unless it can be read only once.
    fn load_again(&self) -> Result<LoadedConfig, Vec<ConfigError>> {
        if let Some(file) = &self.read_once {
            return self.overrides.load(Some(file));
        }
        let found = self.location.read(ReadOccasion::Reload);
        let found = found.map_err(|error| vec![error])?;
        self.overrides.load(found.as_ref().map(|found| &found.file))
    }
}

/// Handler of SIGHUP (DM-1306). A thread reads and prepares everything, and the loop's thread puts it in force.
#[derive(Clone, Debug)]
pub(super) struct Reloader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inputs: ConfigInputs,
    logger: Logger,
    service_manager: ServiceManager,
    /// Configuration at start, which settings that need a restart are compared with.
    started: LoadedConfig,
    /// Used by the loop's thread only, and not held while something is logged.
    state: Mutex<ReloadState>,
}

#[derive(Debug)]
struct ReloadState {
    schedule: ReloadSchedule,
    /// Configuration in force.
    current: LoadedConfig,
    /// Parts that the reloads wait for, by the number of the reload.
    waiting_for: BTreeMap<u64, WaitingFor>,
}

/// Part that a reload reads. The thread of the reload changes it.
type WaitingFor = Arc<Mutex<String>>;

/// New configuration that can be put in force without an error.
#[derive(Debug)]
pub(super) struct PreparedReload {
    loaded: LoadedConfig,
    log: PreparedLogConfig,
    daemon: PreparedConfig,
}

/// Failure of a reload, which changes nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error("the configuration is invalid")]
    Config(Vec<ConfigError>),
    #[error(transparent)]
    Log(#[from] SinkError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

impl ConfigInputs {
    /// Reads the configuration and everything that it names. Changes nothing, and may block. `started` is the
    /// configuration at start, whose pid file and sockets stay.
    fn prepare(
        &self,
        started: &LoadedConfig,
        logger: &Logger,
        control: &Control,
        waiting_for: impl Fn(String),
    ) -> Result<PreparedReload, ReloadError> {
        waiting_for("the configuration".to_owned());
        let loaded = self.load_again().map_err(ReloadError::Config)?;
        waiting_for("the directories of log files, pid file and sockets".to_owned());
        let mut conflicts = conflicts(&loaded);
        conflicts.extend(log_conflicts(&loaded, started));
        conflicts.dedup();
        if !conflicts.is_empty() {
            return Err(ReloadError::Config(conflicts));
        }
        let daemon = control.prepare(&loaded.daemon, &waiting_for)?;
        // Last, because it creates missing files.
        waiting_for(format!("the log outputs {:?}", loaded.log.outputs));
        let log = logger.prepare(&loaded.log)?;
        Ok(PreparedReload {
            loaded,
            log,
            daemon,
        })
    }
}

impl Reloader {
    pub(super) fn new(
        inputs: ConfigInputs,
        logger: Logger,
        started: LoadedConfig,
        service_manager: ServiceManager,
    ) -> Reloader {
        let state = Mutex::new(ReloadState {
            schedule: ReloadSchedule::default(),
            current: started.clone(),
            waiting_for: BTreeMap::new(),
        });
        Reloader(Arc::new(Shared {
            inputs,
            logger,
            service_manager,
            started,
            state,
        }))
    }

    /// Returns the grace of a stop that is in force.
    pub(super) fn shutdown_grace(&self) -> Duration {
        self.0.state.lock().current.daemon.shutdown_grace
    }

    /// Handles a request, on the loop's thread. The result is logged later.
    pub(super) fn request(&self, control: &Control) {
        let mut state = self.0.state.lock();
        let request = state.schedule.request();
        let earlier = state.waiting_for.values().next().cloned();
        let overdue = state.schedule.overdue();
        drop(state);
        let earlier = earlier.map(|part| part.lock().clone()).unwrap_or_default();
        match request {
            ReloadRequest::Later => {
                tracing::info!("SIGHUP: a reload is in progress; another one follows it");
            }
            ReloadRequest::Start(number) => {
                if overdue > 0 {
                    tracing::warn!("SIGHUP: an earlier reload still waits for {earlier}");
                }
                self.start(number, control);
            }
            ReloadRequest::Refused => {
                self.0.service_manager.notify_reloading();
                tracing::error!(
                    "SIGHUP: {overdue} earlier reloads still wait, one of them for {earlier}; nothing is changed; make it \
                     readable, or restart the daemon"
                );
                self.0.service_manager.notify_ready();
            }
        }
    }

    /// Starts the thread of a reload, and its deadline.
    fn start(&self, number: u64, control: &Control) {
        self.0.service_manager.notify_reloading();
        let part = WaitingFor::default();
        let mut state = self.0.state.lock();
        state.waiting_for.insert(number, Arc::clone(&part));
        drop(state);
        let (reloader, on_thread) = (self.clone(), control.clone());
        let reload = move || {
            let shared = &reloader.0;
            let waiting_for = |name| *part.lock() = name;
            let prepared =
                shared
                    .inputs
                    .prepare(&shared.started, &shared.logger, &on_thread, waiting_for);
            let finisher = reloader.clone();
            // The result of a daemon that has stopped is dropped.
            on_thread.run_on_loop(Duration::ZERO, move |control| {
                finisher.finish(number, prepared, control);
            });
        };
        let spawned = thread::Builder::new()
            .name("reload".to_owned())
            .spawn(reload);
        if let Err(error) = spawned {
            tracing::error!("SIGHUP: cannot start a thread: {error}; nothing is changed");
            self.0.state.lock().schedule.finish(number);
            self.end(number, control);
            return;
        }
        let reloader = self.clone();
        control.run_on_loop(RELOAD_DEADLINE, move |control| {
            reloader.expire(number, control);
        });
    }

    /// Puts the result of a reload in force, if it has ended in time.
    fn finish(
        &self,
        number: u64,
        prepared: Result<PreparedReload, ReloadError>,
        control: &Control,
    ) {
        if !self.0.state.lock().schedule.finish(number) {
            self.0.state.lock().waiting_for.remove(&number);
            tracing::warn!("SIGHUP: a reload has ended after its deadline; nothing is changed");
            // A new log file is removed, which may block.
            let _ = thread::Builder::new()
                .name("reload".to_owned())
                .spawn(move || drop(prepared));
            return;
        }
        match prepared {
            Ok(prepared) => self.commit(prepared, control),
            Err(error) => {
                if let ReloadError::Config(errors) = &error {
                    for error in errors {
                        tracing::error!("{}: {}", error.location, error.message);
                    }
                }
                tracing::error!("SIGHUP: {error}; nothing is changed");
            }
        }
        self.end(number, control);
    }

    /// Reports a reload that has not ended in time as failed.
    fn expire(&self, number: u64, control: &Control) {
        let mut state = self.0.state.lock();
        if !state.schedule.expire(number) {
            return;
        }
        let part = state.waiting_for.get(&number).cloned();
        drop(state);
        let part = part.map(|part| part.lock().clone()).unwrap_or_default();
        tracing::error!(
            "SIGHUP: no result after {RELOAD_DEADLINE:?}, waiting for {part}; nothing is changed"
        );
        self.0.service_manager.notify_ready();
        self.start_requested(control);
    }

    /// Reports the end of a reload to the service manager, and starts the next one if it was requested.
    fn end(&self, number: u64, control: &Control) {
        self.0.state.lock().waiting_for.remove(&number);
        self.0.service_manager.notify_ready();
        self.start_requested(control);
    }

    fn start_requested(&self, control: &Control) {
        if self.0.state.lock().schedule.is_requested() {
            self.request(control);
        }
    }

    /// Puts a new configuration in force and logs the changes.
    fn commit(&self, prepared: PreparedReload, control: &Control) {
        let PreparedReload {
            loaded: new,
            log,
            daemon,
        } = prepared;
        let read = files_read_text(&daemon.files_read(), new.log.files().next().is_some());
        control.commit(daemon);
        self.0.logger.apply(log);
        let mut state = self.0.state.lock();
        let old = std::mem::replace(&mut state.current, new.clone());
        drop(state);
        let applied = setting_names(old.changed_settings(&new), |spec| {
            matches!(
                spec.reload_effect,
                ReloadEffect::Immediate | ReloadEffect::NewConnections
            )
        });
        let pending = setting_names(self.0.started.changed_settings(&new), |spec| {
            spec.reload_effect == ReloadEffect::Restart
        });
        for warning in new.warnings() {
            tracing::warn!("{warning}");
        }
        if let Some(file) = &self.0.inputs.read_once {
            tracing::warn!(
                "SIGHUP: {:?} is not a regular file and was read once: its settings stay as they are{read}",
                file.path
            );
            return;
        }
        match applied.as_str() {
            "" => tracing::info!("SIGHUP: the settings are unchanged{read}"),
            applied => tracing::info!("SIGHUP: in force now: {applied}"),
        }
        if !pending.is_empty() {
            tracing::warn!("SIGHUP: changed, but in force only after a restart: {pending}");
        }
    }
}

/// Returns the end of a message about a reload, which names the files that were read or opened: "; keys and certificates were
/// read again; log files were opened again"; an empty text without files.
fn files_read_text(read: &[&str], has_log_files: bool) -> String {
    let mut text = match read {
        [] => String::new(),
        [one] => format!("; {one} were read again"),
        [first @ .., last] => format!("; {} and {last} were read again", first.join(", ")),
    };
    if has_log_files {
        text.push_str("; log files were opened again");
    }
    text
}

fn setting_names(
    specs: impl Iterator<Item = &'static SettingSpec>,
    is_included: impl Fn(&SettingSpec) -> bool,
) -> String {
    let names: Vec<&str> = specs
        .filter(|spec| is_included(spec))
        .map(|spec| spec.name)
        .collect();
    names.join(", ")
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
