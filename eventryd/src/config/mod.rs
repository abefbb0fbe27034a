//! Configuration: the table of settings, the two file formats, and the resulting configuration.
//!
//! A file has the syntax of `libvirtd.conf` ([`Virconf`]) or TOML ([`toml`]). Both have the same
//! settings, which the table [`SETTING_GROUPS`] defines. An unknown setting is an error in TOML; in
//! libvirt's syntax it is one only if its name is close to one of the table.
//! [`Overrides::load`] combines defaults, file, environment and options into a [`LoadedConfig`], or
//! returns every [`ConfigError`]. The module does no I/O: the caller reads the file and the
//! environment.

mod daemon;
mod file;
mod loaded;
mod reference;
mod settings;
mod spec;
mod text;
pub mod toml;
mod virconf;
mod working_dir;

pub use daemon::{InvalidSetting, configure};
pub use file::{ConfigError, ConfigFile};
pub use loaded::{LoadedConfig, Overrides};
pub use reference::{sample_file, settings_table};
pub use settings::{Origin, Settings};
pub use spec::{
    DefaultValue, MAX_IDLE_TIMEOUT_SECS, ReloadEffect, SETTING_GROUPS, SettingGroup, SettingSpec,
    SettingType, nearest_spec, setting_spec, setting_specs,
};
pub use text::{ConfigFormat, ParseError, Position, Setting, SettingValue};
pub use virconf::{MAX_FILE_SIZE, MAX_SYNTAX_ERRORS, Virconf};
pub use working_dir::WorkingDir;
