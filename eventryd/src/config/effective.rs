//! What is in force: defaults, file, environment and options together.

use super::daemon::{Refusal, configure};
use super::source::{Fault, Source};
use super::text::{Problem, Shown, Value};
use super::{Effect, Key, Origin, Settings, all_keys};
use crate::log::{Filters, Level, Output, LogConfig};
use crate::net::tls::TlsFiles;
use crate::server::Config;
use std::fmt::Write;
use std::path::PathBuf;

/// What was given besides the file. It stays when the file is read again.
#[derive(Clone, Debug)]
pub struct Given {
    /// What the environment sets.
    pub environment: Vec<(&'static str, Value, Origin)>,
    /// What options set; they have the last word (DM-1601).
    pub options: Vec<(&'static str, Value, Origin)>,
    /// Whether everything is logged, whatever the level.
    pub trace: bool,
    /// Where the log goes if nobody says so.
    pub default_outputs: Vec<Output>,
    /// What a relative path is taken from.
    pub directory: PathBuf,
    /// The configuration where no setting says otherwise.
    pub base: Config,
    /// The keys and certificates where no setting names others.
    pub tls_files: TlsFiles,
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The settings that were given.
    pub settings: Settings,
    /// What they mean for the daemon.
    pub daemon: Config,
    /// What they mean for the log.
    pub log: LogConfig,
}

impl Given {
    /// Nothing but a configuration for what no setting says otherwise. The log goes nowhere then.
    #[must_use]
    pub fn new(base: Config) -> Given {
        Given {
            environment: Vec::new(),
            options: Vec::new(),
            trace: false,
            default_outputs: Vec::new(),
            directory: PathBuf::from("/"),
            base,
            tls_files: TlsFiles::default_for(None, |_| false),
        }
    }

    /// What is in force together with a file, if there is one.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn with_file(&self, file: Option<&Source>) -> Result<Effective, Vec<Fault>> {
        let (mut settings, mut faults) = file.map(Source::settings).unwrap_or_default();
        for (name, value, origin) in self.environment.iter().chain(&self.options) {
            if let Err(message) = settings.set(name, value.clone(), origin.clone()) {
                faults.push(Fault {
                    place: origin.to_string(),
                    message,
                    excerpt: None,
                });
            }
        }
        // What is read so far is worth checking on, so that everything is told at once.
        let daemon = configure(&settings, self.base.clone(), &self.tls_files);
        let log = self.log(&settings);
        match (daemon, log) {
            (Ok(daemon), Ok(log)) if faults.is_empty() => Ok(Effective {
                settings,
                daemon,
                log,
            }),
            (daemon, log) => {
                let refusals = daemon.err().into_iter().chain(log.err()).flatten();
                faults.extend(refusals.map(|refusal| placed(refusal, &settings, file)));
                Err(faults)
            }
        }
    }

    /// What the settings mean for the log (DM-1601…1603).
    fn log(&self, settings: &Settings) -> Result<LogConfig, Vec<Refusal>> {
        let mut refused = Vec::new();
        let mut refuse = |key, error: String| {
            let message = format!("`{key}`: {error}");
            refused.push(Refusal { key, message });
        };
        let text = |key| settings.text(key).unwrap_or_default();
        let filters = Filters::parse(&text("log_filters"))
            .map_err(|error| refuse("log_filters", error))
            .unwrap_or_default();
        let mut outputs = Output::parse(&text("log_outputs"), &self.directory)
            .map_err(|error| refuse("log_outputs", error))
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
        if refused.is_empty() {
            Ok(config)
        } else {
            Err(refused)
        }
    }
}

/// A refusal with the place of its setting.
fn placed(refusal: Refusal, settings: &Settings, file: Option<&Source>) -> Fault {
    let Refusal { key, message } = refusal;
    match (settings.origin(key), file) {
        (Some(Origin::File(_, at)), Some(file)) => file.fault(Problem { at: *at, message }),
        (origin, _) => Fault {
            place: origin.map_or_else(|| "default".to_owned(), Origin::to_string),
            message,
            excerpt: None,
        },
    }
}

impl Effective {
    /// What in a new configuration is different from this one, in the order of the table.
    pub fn changes<'a>(&'a self, new: &'a Effective) -> impl Iterator<Item = &'static Key> + 'a {
        all_keys().filter(|key| self.settings.value(key) != new.settings.value(key))
    }

    /// Every setting with its value and where that came from, in libvirt's syntax.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for key in all_keys() {
            let origin = self.settings.origin(key.name);
            let origin = origin.map_or_else(|| "default".to_owned(), Origin::to_string);
            let no_effect = match key.effect {
                Effect::None(_) if self.settings.is_given(key.name) => "; no effect here",
                _ => "",
            };
            let _ = match (self.settings.value(key), key.preset) {
                (Some(value), _) => {
                    writeln!(
                        text,
                        "{} = {value}  # {}{no_effect}",
                        key.name,
                        Shown(&origin)
                    )
                }
                (None, super::Preset::Unset(meaning)) => {
                    writeln!(text, "# {} is not set: {meaning}", key.name)
                }
                (None, _) => unreachable!("a default is a value"),
            };
        }
        text
    }

    /// What whoever started the daemon should know: settings that change nothing, or less than they say.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let without_effect = self.settings.without_effect();
        let (min, max) = (
            self.settings.unsigned("min_workers"),
            self.settings.unsigned("max_workers"),
        );
        // As with libvirt's daemons (DM-703), which do not say so.
        let clipped = (min > max).then(|| {
            format!("`min_workers` ({min}) is more than `max_workers` ({max}): there are {max} workers from the start")
        });
        without_effect
            .map(|(key, origin, reason)| {
                format!("{origin}: `{}` has no effect here: {reason}", key.name)
            })
            .chain(clipped)
            .collect()
    }
}

#[cfg(test)]
#[path = "effective_tests.rs"]
mod tests;
