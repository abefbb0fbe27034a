//! Log levels.

use std::fmt;

/// Level of a line, with libvirt's numbers (DM-1602).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Each turn of the event loop. libvirt has no such level: only `-vv` enables it.
    Trace = 0,
    /// Each connection and call.
    Debug = 1,
    /// Normal events of clients and of the daemon.
    Info = 2,
    /// Conditions that need the attention of an administrator.
    Warning = 3,
    /// Failed operations.
    Error = 4,
}

impl Level {
    /// Returns the level with libvirt's `number`, from 1 to 4.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Level> {
        match number {
            1 => Some(Level::Debug),
            2 => Some(Level::Info),
            3 => Some(Level::Warning),
            4 => Some(Level::Error),
            _ => None,
        }
    }

    /// Parses the value of `LIBVIRT_DEBUG`: a number or a word (DM-1601).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Level> {
        match name {
            "1" | "debug" => Some(Level::Debug),
            "2" | "info" => Some(Level::Info),
            "3" | "warning" => Some(Level::Warning),
            "4" | "error" => Some(Level::Error),
            _ => None,
        }
    }

    /// Returns the severity in syslog (RFC 5424, section 6.2.1).
    #[must_use]
    pub fn syslog_severity(self) -> u8 {
        match self {
            Level::Trace | Level::Debug => 7,
            Level::Info => 6,
            Level::Warning => 4,
            Level::Error => 3,
        }
    }
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Level {
        match *level {
            tracing::Level::TRACE => Level::Trace,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::INFO => Level::Info,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::ERROR => Level::Error,
        }
    }
}

impl From<Level> for tracing::level_filters::LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warning => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

/// Writes the word for a log line (DM-1604).
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Trace | Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}
