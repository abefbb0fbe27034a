//! Log of the daemon: a `tracing` layer that writes libvirt's format to libvirt's kinds of outputs.
//!
//! [`Filters`] and [`Output`] parse the settings, [`LogLine`] formats a line, [`EscapedText`]
//! escapes text that clients choose, and [`RateLimiter`] limits repeated lines. All of them are
//! pure values. [`Logger`] combines them as a `tracing` layer, whose configuration can be replaced
//! at run time. The thread that logs formats the line and queues it; each output has a writer
//! ([`crate::output`]), so no thread ever waits for an output.

mod file;
mod filters;
mod level;
mod line;
mod logger;
mod opened;
mod outputs;
mod panic_hook;
mod rate_limit;
mod record;
mod sink;

pub use filters::Filters;
pub use level::Level;
pub use line::{EscapedText, LogLine, MAX_TEXT_LEN};
pub use logger::{LogConfig, Logger, PreparedLogConfig};
pub use outputs::{Destination, Output};
pub use panic_hook::log_panics;
pub use rate_limit::{RATE_LIMIT_WINDOW, RateLimiter};
pub use sink::{LogSockets, SinkError};
