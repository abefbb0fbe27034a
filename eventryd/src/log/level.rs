//! How important a line of the log is.

use std::fmt;

/// How important a line is, in libvirt's numbers (DM-1602).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every turn of the loop. Libvirt has no number for it: it is had with `-vv` only.
    Trace = 0,
    /// Every connection and call.
    Debug = 1,
    /// What happens to clients and to the daemon.
    Info = 2,
    /// What somebody should look at.
    Warning = 3,
    /// What did not work.
    Error = 4,
}

impl Level {
    /// The level that libvirt gives this number.
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

    /// The level that `LIBVIRT_DEBUG` names: a number or a word (DM-1601).
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

    /// The number that syslog has for it.
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

/// The word that stands in a line (DM-1604).
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
