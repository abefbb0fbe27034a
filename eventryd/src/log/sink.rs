//! Open destinations of the log.

use super::{Destination, Level, Output};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Path of the datagram socket of syslog.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Facility "system daemons" of syslog, shifted so that a severity can be added (RFC 5424).
const FACILITY_DAEMON: u8 = 3 << 3;

/// Failure to open a destination of the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The log file cannot be opened.
    #[error("cannot open {} for the log: {source}; choose another file in log_outputs", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The journal cannot be reached.
    #[error("cannot reach the journal for the log: {0}; choose another output in log_outputs")]
    Journald(#[source] io::Error),
    /// The socket for syslog cannot be created.
    #[error("cannot create a socket for syslog: {0}")]
    Syslog(#[source] io::Error),
}

/// Open output.
pub(super) struct Sink {
    pub(super) level: Level,
    kind: SinkKind,
    /// Set after the first failed write, so that failures are reported to standard error only once.
    has_failed: bool,
}

enum SinkKind {
    Stderr,
    File(PathBuf, File),
    Syslog {
        name: String,
        socket: UnixDatagram,
        /// Path of the socket that syslog listens on.
        path: PathBuf,
    },
    Journald(Box<tracing_journald::Layer>),
}

/// Form in which a sink receives an event: the formatted line or, for the journal, the event
/// itself.
pub(super) enum SinkInput<'a> {
    Line,
    Event(&'a tracing_journald::Layer),
}

impl Sink {
    pub(super) fn open(output: &Output) -> Result<Sink, SinkError> {
        let kind = match &output.destination {
            Destination::Stderr => SinkKind::Stderr,
            Destination::File(path) => SinkKind::File(path.clone(), open_file(path)?),
            Destination::Syslog(name) => {
                let socket = UnixDatagram::unbound().map_err(SinkError::Syslog)?;
                // A full queue of syslog must not block the daemon: the line is dropped instead.
                socket.set_nonblocking(true).map_err(SinkError::Syslog)?;
                SinkKind::Syslog {
                    name: name.clone(),
                    socket,
                    path: PathBuf::from(SYSLOG_SOCKET),
                }
            }
            Destination::Journald => SinkKind::Journald(Box::new(journald()?)),
        };
        Ok(Sink {
            level: output.level,
            kind,
            has_failed: false,
        })
    }

    pub(super) fn input(&self) -> SinkInput<'_> {
        match &self.kind {
            SinkKind::Journald(layer) => SinkInput::Event(layer),
            _ => SinkInput::Line,
        }
    }

    /// Writes a line. Files and standard error get `line`, which ends with a line end; syslog gets
    /// `text`, and adds the time itself.
    pub(super) fn write(&mut self, level: Level, line: &str, text: &str) {
        let written = match &mut self.kind {
            // A failure cannot be reported: standard error itself has failed.
            SinkKind::Stderr => {
                let _ = io::stderr().write_all(line.as_bytes());
                return;
            }
            SinkKind::File(_, file) => file.write_all(line.as_bytes()),
            SinkKind::Syslog { name, socket, path } => {
                let message = syslog_message(level, name, std::process::id(), text);
                socket.send_to(message.as_bytes(), path).map(|_| ())
            }
            SinkKind::Journald(_) => return,
        };
        let Err(error) = written else { return };
        if !std::mem::replace(&mut self.has_failed, true) {
            let (SinkKind::File(path, _) | SinkKind::Syslog { path, .. }) = &self.kind else {
                unreachable!("only a write to a file or to syslog returns an error")
            };
            let path = path.display();
            let _ = writeln!(io::stderr(), "eventryd: cannot log to {path}: {error}");
        }
    }
}

/// Opens a log file for appending. A new file has mode 0600, because the log contains the identity
/// of clients.
fn open_file(path: &Path) -> Result<File, SinkError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| SinkError::File {
            path: path.to_owned(),
            source,
        })
}

fn journald() -> Result<tracing_journald::Layer, SinkError> {
    use tracing_journald::{Priority, PriorityMappings};
    let layer = tracing_journald::Layer::new().map_err(SinkError::Journald)?;
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    Ok(layer
        .with_priority_mappings(priorities)
        .with_syslog_identifier("eventryd".to_owned()))
}

/// Formats a message for the socket of syslog, which adds the time.
fn syslog_message(level: Level, name: &str, pid: u32, text: &str) -> String {
    let priority = FACILITY_DAEMON | level.syslog_severity();
    format!("<{priority}>{name}[{pid}]: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_message_has_priority_name_and_pid() {
        let message = syslog_message(Level::Warning, "libvirtd", 7, "the disk is full");
        assert_eq!(message, "<28>libvirtd[7]: the disk is full");
    }

    #[test]
    fn syslog_write_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let system = UnixDatagram::bind(&path).unwrap();
        let output = Output {
            level: Level::Info,
            destination: Destination::Syslog("x".to_owned()),
        };
        let mut sink = Sink::open(&output).unwrap();
        if let SinkKind::Syslog { path: place, .. } = &mut sink.kind {
            *place = path;
        }
        // More messages than the queue of the socket holds.
        for _ in 0..10_000 {
            sink.write(Level::Error, "with time\n", "the disk is full");
        }
        assert!(sink.has_failed);
        let mut received = [0; 100];
        let length = system.recv(&mut received).unwrap();
        let expected = format!("<27>x[{}]: the disk is full", std::process::id());
        assert_eq!(String::from_utf8_lossy(&received[..length]), expected);
    }

    #[test]
    fn open_error_names_the_file() {
        let output = Output {
            level: Level::Info,
            destination: Destination::File("/nowhere/at/all".into()),
        };
        let Err(error) = Sink::open(&output) else {
            panic!("the file was opened");
        };
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
