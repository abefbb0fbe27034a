//! The log of the daemon: `tracing`'s events in libvirt's form, to where libvirt's settings say.
//!
//! What a setting means ([`Filters`], [`Output`]), what a line looks like ([`Line`]), what a client's text may
//! not do to it ([`Text`]) and how many lines of a kind are written ([`Burst`]) are plain values. [`Logger`]
//! puts them to work: it is what `tracing` calls, and can be set anew while the daemon runs.

mod burst;
mod filters;
mod level;
mod line;
mod logger;
mod outputs;
mod sink;

pub use burst::{Burst, WINDOW};
pub use filters::Filters;
pub use level::Level;
pub use line::{Line, MAX_TEXT, Text};
pub use logger::{Change, Logger, Setup};
pub use outputs::{Destination, Output};
pub use sink::SinkError;
