//! Combination of defaults, file, environment and options.

use super::daemon::{InvalidSetting, configure};
use super::file::{ConfigError, ConfigFile};
use super::text::{Escaped, ParseError, SettingValue};
use super::{Origin, ReloadEffect, SettingSpec, Settings, WorkingDir, setting_spec, setting_specs};
use crate::log::{Destination, Filters, Level, LogConfig, LogSockets, Output};
use crate::net::tls::{TlsFiles, system_policy};
use crate::server::Config;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Inputs of the configuration other than the file. They stay the same when the file is read again.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// Settings from environment variables, which override the file.
    pub environment: Vec<(&'static str, SettingValue, Origin)>,
    /// Settings from command-line options, which override the environment (DM-1601).
    pub options: Vec<(&'static str, SettingValue, Origin)>,
    /// Set if the log has the level [`Level::Trace`] regardless of `log_level`.
    pub trace: bool,
    /// Outputs of the log if `log_outputs` is not set.
    pub default_outputs: Vec<Output>,
    /// Directory in which relative paths of log files are resolved.
    pub working_dir: WorkingDir,
    /// Server configuration that the settings are applied to.
    pub base: Config,
    /// Default keys and certificates.
    pub tls_files: TlsFiles,
}

/// Result of loading a configuration.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// Explicit settings.
    pub settings: Settings,
    /// Resulting configuration of the server.
    pub daemon: Config,
    /// Resulting configuration of the log.
    pub log: LogConfig,
}

impl Overrides {
    /// Creates empty overrides, with no default output of the log.
    #[must_use]
    pub fn new(base: Config) -> Overrides {
        Overrides {
            environment: Vec::new(),
            options: Vec::new(),
            trace: false,
            default_outputs: Vec::new(),
            working_dir: WorkingDir::new(Ok(PathBuf::from("/"))),
            base,
            tls_files: TlsFiles::default_for(None, |_| false),
        }
    }

    /// Combines the defaults, `file` and the overrides.
    ///
    /// ```
    /// use eventryd::config::{ConfigFile, ConfigFormat, Overrides};
    /// use eventryd::net::RunDir;
    /// use eventryd::server::Config;
    ///
    /// let overrides = Overrides::new(Config::new(RunDir::Chosen("/tmp/example".into())));
    /// let mut file = ConfigFile {
    ///     path: "eventryd.conf".into(),
    ///     format: ConfigFormat::Libvirt,
    ///     text: b"max_client = 30\n".to_vec(),
    /// };
    /// let errors = overrides.load(Some(&file)).unwrap_err();
    /// assert_eq!(errors[0].location, "eventryd.conf:1:1");
    /// assert_eq!(errors[0].message, "unknown setting `max_client`; did you mean `max_clients`?");
    ///
    /// file.text = b"max_clients = 30\n".to_vec();
    /// let loaded = overrides.load(Some(&file)).unwrap();
    /// assert_eq!(loaded.daemon.max_clients.get(), 30);
    /// ```
    ///
    /// # Errors
    ///
    /// Every error in the file and in the overrides.
    pub fn load(&self, file: Option<&ConfigFile>) -> Result<LoadedConfig, Vec<ConfigError>> {
        let parsed = file.map(ConfigFile::parse_syntax).unwrap_or_default();
        let (mut settings, mut errors) = (parsed.settings, parsed.syntax_errors);
        // Settings that a syntax error hides may be those that others need.
        let is_complete = errors.is_empty();
        errors.extend(parsed.value_errors);
        for (name, value, origin) in self.environment.iter().chain(&self.options) {
            if let Err(message) = settings.set(name, value.clone(), origin.clone()) {
                errors.push(ConfigError {
                    location: origin.to_string(),
                    message,
                    excerpt: None,
                });
            }
        }
        // The valid settings are checked further even after an error, to report all errors at once.
        let daemon = configure(&settings, self.base.clone(), &self.tls_files);
        let log = self.log_config(&settings);
        match (daemon, log) {
            (Ok(daemon), Ok(log)) if errors.is_empty() => Ok(LoadedConfig {
                settings,
                daemon,
                log,
            }),
            (daemon, log) => {
                let daemon = daemon.err().filter(|_| is_complete);
                let invalid = daemon.into_iter().chain(log.err()).flatten();
                errors.extend(invalid.map(|invalid| locate(invalid, &settings, file)));
                Err(errors)
            }
        }
    }

    /// Returns the configuration of the log (DM-1601, DM-1602, DM-1603).
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
        let mut outputs = Output::parse(&text("log_outputs"), Path::new(""))
            .and_then(|outputs| self.resolve_outputs(outputs))
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
            sockets: LogSockets::default(),
        };
        if invalid.is_empty() {
            Ok(config)
        } else {
            Err(invalid)
        }
    }

    /// Makes the paths of log files absolute.
    fn resolve_outputs(&self, mut outputs: Vec<Output>) -> Result<Vec<Output>, String> {
        for output in &mut outputs {
            if let Destination::File(path) = &mut output.destination {
                *path = self.working_dir.resolve(path)?;
            }
        }
        Ok(outputs)
    }
}

/// Adds the location of the setting to an error.
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
    /// Returns the settings whose value differs in `new`, in the order of the table.
    pub fn changed_settings<'a>(
        &'a self,
        new: &'a LoadedConfig,
    ) -> impl Iterator<Item = &'static SettingSpec> + 'a {
        setting_specs().filter(|spec| self.settings.value(spec) != new.settings.value(spec))
    }

    /// Returns every setting with its value and, in a comment, the origin of the value, in
    /// libvirt's syntax. A file with this text gives the same configuration.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for spec in setting_specs() {
            let origin = self.settings.origin(spec.name);
            let origin = origin.map_or_else(|| "default".to_owned(), Origin::to_string);
            let no_effect = match spec.reload_effect {
                ReloadEffect::Ignored(_) if self.settings.is_explicit(spec.name) => "; no effect",
                _ => "",
            };
            let value = match spec.name {
                // The default is lowered to `max_clients`, and a higher value is an error.
                "max_anonymous_clients" => {
                    let effective = self.daemon.max_anonymous_clients;
                    i64::try_from(effective).ok().map(SettingValue::Integer)
                }
                _ => self.settings.value(spec),
            };
            let _ = match (value, spec.default) {
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

    /// Returns the origin of the first of `settings` that is set. An authentication type `none` causes no error and does
    /// not count.
    #[must_use]
    pub fn cause(&self, settings: &[&str]) -> Option<&Origin> {
        let none = SettingValue::Text("none".to_owned());
        settings
            .iter()
            .filter(|name| {
                let value = setting_spec(name).and_then(|spec| self.settings.value(spec));
                !name.starts_with("auth_") || value.as_ref() != Some(&none)
            })
            .find_map(|name| self.settings.origin(name))
    }

    /// Returns remarks about settings that have an effect, but not the one that libvirtd would give
    /// them.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let priority = self.settings.text("tls_priority");
        let policy = priority.as_deref().and_then(system_policy);
        let origin = self.settings.origin("tls_priority");
        let note = policy.zip(origin).map(|(policy, origin)| {
            format!(
                "{origin}: `tls_priority`: the system policy {policy} of GnuTLS is not read; NORMAL \
                 applies: TLS 1.2 and 1.3 with the algorithms of rustls"
            )
        });
        note.into_iter().collect()
    }

    /// Returns a warning for each setting that is unknown, repeated, ignored or limited by
    /// another one.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let ignored = self.settings.ignored();
        let (min, max) = (
            self.settings.unsigned("min_workers"),
            self.settings.unsigned("max_workers"),
        );
        // libvirt limits `min_workers` in the same way (DM-703), without a warning.
        let clipped = (min > max).then(|| {
            format!(
                "`min_workers` ({min}) exceeds `max_workers` ({max}): {max} workers are started"
            )
        });
        let (handshake, auth) = (
            self.settings.unsigned("eventry_handshake_timeout"),
            self.settings.unsigned("eventry_auth_timeout"),
        );
        let is_explicit = self.settings.is_explicit("eventry_handshake_timeout");
        let exceeds = is_explicit && auth != 0 && handshake > auth;
        let without_effect = exceeds.then(|| {
            format!(
                "`eventry_handshake_timeout` ({handshake}) exceeds `eventry_auth_timeout` ({auth}), which includes the \
                 handshake: a client has {auth} s for it"
            )
        });
        let unused = self
            .settings
            .unused()
            .map(|(name, origin, reason)| format!("{origin}: `{name}` has no effect: {reason}"));
        ignored
            .map(|(spec, origin, reason)| {
                format!("{origin}: `{}` has no effect: {reason}", spec.name)
            })
            .chain(unused)
            .chain(clipped)
            .chain(without_effect)
            .collect()
    }
}

#[cfg(test)]
#[path = "loaded_tests.rs"]
mod tests;
