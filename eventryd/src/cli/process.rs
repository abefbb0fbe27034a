//! The daemon as a process: what it does on SIGHUP and what it tells who watches over it.

use super::files::ConfigFile;
use crate::config::{Effect, Effective, Fault, Given, Key};
use crate::log::Logger;
use crate::server::Control;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the configuration is made of, so that it can be made again.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) file: ConfigFile,
    pub(super) given: Given,
}

impl Configuration {
    /// Reads the file, if there is one, and puts everything together.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub(super) fn read(&self) -> Result<Effective, Vec<Fault>> {
        let file = self.file.read().map_err(|fault| vec![fault])?;
        self.given.with_file(file.as_ref())
    }
}

/// What is in force, and how it is changed (DM-1306).
pub(super) struct Reloader {
    pub(super) configuration: Configuration,
    pub(super) logger: Logger,
    /// What was in force when the daemon started: what takes a restart is compared with it.
    pub(super) started: Effective,
    pub(super) current: Effective,
    pub(super) watcher: Watcher,
}

impl Reloader {
    /// Reads the configuration again and applies what can be changed. If anything is wrong with it, nothing
    /// is changed.
    pub(super) fn reload(&mut self, control: &Control) {
        self.watcher.reloading();
        match self.configuration.read() {
            Ok(new) => self.apply(new, control),
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{}: {}", fault.place, fault.message);
                }
                tracing::error!("SIGHUP: the configuration is wrong, nothing is changed");
            }
        }
        self.watcher.ready();
    }

    fn apply(&mut self, new: Effective, control: &Control) {
        // What may fail comes before what changes anything.
        let log = match self.logger.prepare(&new.log) {
            Ok(log) => log,
            Err(error) => {
                tracing::error!("SIGHUP: {error}; nothing is changed");
                return;
            }
        };
        if let Err(error) = control.apply(&new.daemon) {
            tracing::error!("SIGHUP: {error}; nothing is changed");
            return;
        }
        self.logger.apply(log);
        let applied = names(self.current.changes(&new), |key| {
            matches!(key.effect, Effect::Reload | Effect::NewConnections)
        });
        let waiting = names(self.started.changes(&new), |key| {
            key.effect == Effect::Restart
        });
        for remark in new.remarks() {
            tracing::warn!("{remark}");
        }
        match applied.as_str() {
            "" => tracing::info!("SIGHUP: read the configuration again; nothing has changed"),
            applied => tracing::info!("SIGHUP: in force now: {applied}"),
        }
        if !waiting.is_empty() {
            tracing::warn!("SIGHUP: changed, but in force only after a restart: {waiting}");
        }
        self.current = new;
    }
}

fn names(keys: impl Iterator<Item = &'static Key>, counts: impl Fn(&Key) -> bool) -> String {
    let names: Vec<&str> = keys.filter(|key| counts(key)).map(|key| key.name).collect();
    names.join(", ")
}

/// Who watches over the daemon, if anybody: `$NOTIFY_SOCKET` (DM-109).
#[derive(Clone, Debug, Default)]
pub(super) struct Watcher {
    /// It is told that a reload is over only when the start is.
    serves: Arc<AtomicBool>,
}

impl Watcher {
    /// The daemon serves, for the first time or after a reload.
    pub(super) fn serves(&self) {
        self.serves.store(true, Ordering::Release);
        self.ready();
    }

    fn ready(&self) {
        if self.serves.load(Ordering::Acquire) {
            tell(&[NotifyState::Ready]);
        }
    }

    fn reloading(&self) {
        if !self.serves.load(Ordering::Acquire) {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("cannot read the clock for a reload: {error}"),
        }
    }

    /// The daemon begins to stop, which may take as long as `grace`.
    pub(super) fn stopping(grace: Duration) {
        /// For what comes after the last client.
        const AFTERWARDS: Duration = Duration::from_secs(5);
        let micros = grace.saturating_add(AFTERWARDS).as_micros();
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}
