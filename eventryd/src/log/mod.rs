//! The log of the daemon: `tracing`'s events in libvirt's form, to where libvirt's settings say.
//!
//! What a setting means ([`Filters`], [`Output`]), what a line looks like ([`LogLine`]), what a client's text may
//! not do to it ([`EscapedText`]) and how many lines of a kind are written ([`RateLimiter`]) are plain values. [`Logger`]
//! puts them to work: it is what `tracing` calls, and can be set anew while the daemon runs.

mod filters;
mod level;
mod line;
mod logger;
mod outputs;
mod rate_limit;
mod sink;

pub use filters::Filters;
pub use level::Level;
pub use line::{EscapedText, LogLine, MAX_TEXT_LEN};
pub use logger::{LogConfig, Logger, PreparedLogConfig};
pub use outputs::{Destination, Output};
pub use rate_limit::{RATE_LIMIT_WINDOW, RateLimiter};
pub use sink::SinkError;
