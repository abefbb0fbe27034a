//! What is in force: defaults, file, environment and options together.

use super::daemon::{InvalidSetting, configure};
use super::file::{ConfigError, ConfigFile};
use super::text::{Escaped, ParseError, SettingValue};
use super::{Origin, ReloadEffect, SettingSpec, Settings, setting_specs};
use crate::log::{Filters, Level, LogConfig, Output};
use crate::net::tls::TlsFiles;
use crate::server::Config;
use std::fmt::Write;
use std::path::PathBuf;

/// What was given besides the file. It stays when the file is read again.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// What the environment sets.
    pub environment: Vec<(&'static str, SettingValue, Origin)>,
    /// What options set; they have the last word (DM-1601).
    pub options: Vec<(&'static str, SettingValue, Origin)>,
    /// Whether everything is logged, whatever the level.
    pub trace: bool,
    /// Where the log goes if nobody says so.
    pub default_outputs: Vec<Output>,
    /// What a relative path is taken from.
    pub working_dir: PathBuf,
    /// The configuration where no setting says otherwise.
    pub base: Config,
    /// The keys and certificates where no setting names others.
    pub tls_files: TlsFiles,
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The settings that were given.
    pub settings: Settings,
    /// What they mean for the daemon.
    pub daemon: Config,
    /// What they mean for the log.
    pub log: LogConfig,
}

impl Overrides {
    /// Nothing but a configuration for what no setting says otherwise. The log goes nowhere then.
    #[must_use]
    pub fn new(base: Config) -> Overrides {
        Overrides {
            environment: Vec::new(),
            options: Vec::new(),
            trace: false,
            default_outputs: Vec::new(),
            working_dir: PathBuf::from("/"),
            base,
            tls_files: TlsFiles::default_for(None, |_| false),
        }
    }

    /// What is in force together with a file, if there is one.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn load(&self, file: Option<&ConfigFile>) -> Result<LoadedConfig, Vec<ConfigError>> {
        let (mut settings, mut errors) = file.map(ConfigFile::parse).unwrap_or_default();
        for (name, value, origin) in self.environment.iter().chain(&self.options) {
            if let Err(message) = settings.set(name, value.clone(), origin.clone()) {
                errors.push(ConfigError {
                    location: origin.to_string(),
                    message,
                    excerpt: None,
                });
            }
        }
        // What is read so far is worth checking on, so that everything is told at once.
        let daemon = configure(&settings, self.base.clone(), &self.tls_files);
        let log = self.log_config(&settings);
        match (daemon, log) {
            (Ok(daemon), Ok(log)) if errors.is_empty() => Ok(LoadedConfig {
                settings,
                daemon,
                log,
            }),
            (daemon, log) => {
                let invalid = daemon.err().into_iter().chain(log.err()).flatten();
                errors.extend(invalid.map(|invalid| locate(invalid, &settings, file)));
                Err(errors)
            }
        }
    }

    /// What the settings mean for the log (DM-1601…1603).
    fn log_config(&self, settings: &Settings) -> Result<LogConfig, Vec<InvalidSetting>> {
        let mut invalid = Vec::new();
        let mut reject = |setting, error: String| {
            let message = format!("`{setting}`: {error}");
            invalid.push(InvalidSetting { setting, message });
        };
        let text = |name| settings.text(name).unwrap_or_default();
        let filters = Filters::parse(&text("log_filters"))
            .map_err(|error| reject("log_filters", error))
            .unwrap_or_default();
        let mut outputs = Output::parse(&text("log_outputs"), &self.working_dir)
            .map_err(|error| reject("log_outputs", error))
            .unwrap_or_default();
        if outputs.is_empty() {
            outputs.clone_from(&self.default_outputs);
        }
        let level = Level::from_number(settings.unsigned("log_level")).unwrap_or(Level::Info);
        let config = LogConfig {
            level: if self.trace { Level::Trace } else { level },
            filters,
            outputs,
            burst_limit: settings.unsigned("eventry_log_burst"),
        };
        if invalid.is_empty() {
            Ok(config)
        } else {
            Err(invalid)
        }
    }
}

/// A refusal with the place of its setting.
fn locate(invalid: InvalidSetting, settings: &Settings, file: Option<&ConfigFile>) -> ConfigError {
    let InvalidSetting { setting, message } = invalid;
    match (settings.origin(setting), file) {
        (Some(Origin::File(_, position)), Some(file)) => file.error_at(ParseError {
            position: *position,
            message,
        }),
        (origin, _) => ConfigError {
            location: origin.map_or_else(|| "default".to_owned(), Origin::to_string),
            message,
            excerpt: None,
        },
    }
}

impl LoadedConfig {
    /// What in a new configuration is different from this one, in the order of the table.
    pub fn changed_settings<'a>(
        &'a self,
        new: &'a LoadedConfig,
    ) -> impl Iterator<Item = &'static SettingSpec> + 'a {
        setting_specs().filter(|spec| self.settings.value(spec) != new.settings.value(spec))
    }

    /// Every setting with its value and where that came from, in libvirt's syntax.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for spec in setting_specs() {
            let origin = self.settings.origin(spec.name);
            let origin = origin.map_or_else(|| "default".to_owned(), Origin::to_string);
            let no_effect = match spec.reload_effect {
                ReloadEffect::Ignored(_) if self.settings.is_explicit(spec.name) => {
                    "; no effect here"
                }
                _ => "",
            };
            let _ = match (self.settings.value(spec), spec.default) {
                (Some(value), _) => {
                    writeln!(
                        text,
                        "{} = {value}  # {}{no_effect}",
                        spec.name,
                        Escaped(&origin)
                    )
                }
                (None, super::DefaultValue::Unset(description)) => {
                    writeln!(text, "# {} is not set: {description}", spec.name)
                }
                (None, _) => unreachable!("a default is a value"),
            };
        }
        text
    }

    /// What whoever started the daemon should know: settings that change nothing, or less than they say.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let ignored = self.settings.ignored();
        let (min, max) = (
            self.settings.unsigned("min_workers"),
            self.settings.unsigned("max_workers"),
        );
        // As with libvirt's daemons (DM-703), which do not say so.
        let clipped = (min > max).then(|| {
            format!("`min_workers` ({min}) is more than `max_workers` ({max}): there are {max} workers from the start")
        });
        ignored
            .map(|(spec, origin, reason)| {
                format!("{origin}: `{}` has no effect here: {reason}", spec.name)
            })
            .chain(clipped)
            .collect()
    }
}

#[cfg(test)]
#[path = "loaded_tests.rs"]
mod tests;
