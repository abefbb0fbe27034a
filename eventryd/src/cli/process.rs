//! Reload on SIGHUP, and notifications to the service manager.

use super::files::ConfigLocation;
use crate::config::{ConfigError, LoadedConfig, Overrides, ReloadEffect, SettingSpec};
use crate::log::Logger;
use crate::server::Control;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sources of the configuration, kept to load it again on SIGHUP.
#[derive(Clone, Debug)]
pub(super) struct ConfigInputs {
    pub(super) location: ConfigLocation,
    pub(super) overrides: Overrides,
}

impl ConfigInputs {
    /// Reads the file and combines it with the overrides.
    ///
    /// # Errors
    ///
    /// Every error in the configuration.
    pub(super) fn load(&self) -> Result<LoadedConfig, Vec<ConfigError>> {
        let file = self.location.read().map_err(|error| vec![error])?;
        self.overrides.load(file.as_ref())
    }
}

/// Handler of SIGHUP, with the current configuration (DM-1306).
pub(super) struct Reloader {
    pub(super) inputs: ConfigInputs,
    pub(super) logger: Logger,
    /// Configuration at start, which settings that need a restart are compared with.
    pub(super) started: LoadedConfig,
    pub(super) current: LoadedConfig,
    pub(super) service_manager: ServiceManager,
}

impl Reloader {
    /// Loads the configuration again and applies it. An invalid configuration changes nothing. The
    /// result is logged.
    pub(super) fn reload(&mut self, control: &Control) {
        self.service_manager.notify_reloading();
        match self.inputs.load() {
            Ok(new) => self.apply(new, control),
            Err(errors) => {
                for error in &errors {
                    tracing::error!("{}: {}", error.location, error.message);
                }
                tracing::error!("SIGHUP: the configuration is invalid; nothing is changed");
            }
        }
        self.service_manager.notify_ready();
    }

    fn apply(&mut self, new: LoadedConfig, control: &Control) {
        // Steps that can fail come first, so that a failure changes nothing.
        let prepared = match self.logger.prepare(&new.log) {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::error!("SIGHUP: {error}; nothing is changed");
                return;
            }
        };
        if let Err(error) = control.apply(&new.daemon) {
            tracing::error!("SIGHUP: {error}; nothing is changed");
            return;
        }
        self.logger.apply(prepared);
        let applied = setting_names(self.current.changed_settings(&new), |spec| {
            matches!(
                spec.reload_effect,
                ReloadEffect::Immediate | ReloadEffect::NewConnections
            )
        });
        let pending = setting_names(self.started.changed_settings(&new), |spec| {
            spec.reload_effect == ReloadEffect::Restart
        });
        for warning in new.warnings() {
            tracing::warn!("{warning}");
        }
        match applied.as_str() {
            "" => tracing::info!("SIGHUP: read the configuration again; nothing has changed"),
            applied => tracing::info!("SIGHUP: in force now: {applied}"),
        }
        if !pending.is_empty() {
            tracing::warn!("SIGHUP: changed, but in force only after a restart: {pending}");
        }
        self.current = new;
    }
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

/// Service manager at `$NOTIFY_SOCKET`, if there is one (DM-109).
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager {
    /// Set when the start is complete. A reload before that sends no notification.
    is_started: Arc<AtomicBool>,
}

impl ServiceManager {
    /// Notifies that the start is complete.
    pub(super) fn notify_started(&self) {
        self.is_started.store(true, Ordering::Release);
        self.notify_ready();
    }

    fn notify_ready(&self) {
        if self.is_started.load(Ordering::Acquire) {
            notify(&[NotifyState::Ready]);
        }
    }

    fn notify_reloading(&self) {
        if !self.is_started.load(Ordering::Acquire) {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => {
                tracing::warn!("cannot read the clock for the reload notification: {error}")
            }
        }
    }

    /// Notifies that the daemon stops, which may take `grace` and a margin.
    pub(super) fn notify_stopping(grace: Duration) {
        /// Time for the shutdown after the last client.
        const MARGIN: Duration = Duration::from_secs(5);
        let micros = grace.saturating_add(MARGIN).as_micros();
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        notify(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
