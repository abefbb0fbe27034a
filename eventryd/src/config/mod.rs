//! Configuration: what may be set, how it is read, and what it means.
//!
//! A file is in the syntax of `libvirtd.conf` ([`Virconf`]) or in TOML ([`toml`]). Both give the same
//! settings, which one table ([`GROUPS`]) names and types; an unknown one is an error. [`Given::with_file`] puts
//! defaults, file, environment and options together and says what is in force ([`Effective`]) or everything
//! that is wrong ([`Fault`]). Nothing here opens a file or reads the environment.

mod daemon;
mod effective;
mod keys;
mod reference;
mod settings;
mod source;
mod text;
pub mod toml;
mod virconf;

pub use daemon::{Refusal, configure};
pub use effective::{Effective, Given};
pub use keys::{Effect, GROUPS, Group, Key, Kind, MAX_TIMEOUT, Preset, all_keys, key, nearest_key};
pub use reference::{markdown, sample};
pub use settings::{Origin, Settings};
pub use source::{Fault, Format, Source};
pub use text::{Position, Problem, Setting, Value};
pub use virconf::{MAX_SIZE, Virconf};
