//! Configuration: what may be set, how it is read, and what it means.
//!
//! A file is in the syntax of `libvirtd.conf` ([`Virconf`]) or in TOML ([`toml`]). Both give the same
//! settings, which one table ([`SETTING_GROUPS`]) names and types; an unknown one is an error. [`Overrides::load`] puts
//! defaults, file, environment and options together and says what is in force ([`LoadedConfig`]) or everything
//! that is wrong ([`ConfigError`]). Nothing here opens a file or reads the environment.

mod daemon;
mod file;
mod loaded;
mod reference;
mod settings;
mod spec;
mod text;
pub mod toml;
mod virconf;

pub use daemon::{InvalidSetting, configure};
pub use file::{ConfigError, ConfigFile, ConfigFormat};
pub use loaded::{LoadedConfig, Overrides};
pub use reference::{sample_file, settings_table};
pub use settings::{Origin, Settings};
pub use spec::{
    DefaultValue, MAX_IDLE_TIMEOUT_SECS, ReloadEffect, SETTING_GROUPS, SettingGroup, SettingSpec,
    SettingType, nearest_spec, setting_spec, setting_specs,
};
pub use text::{ParseError, Position, Setting, SettingValue};
pub use virconf::{MAX_FILE_SIZE, Virconf};
