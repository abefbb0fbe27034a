//! Destinations of the log that are open.

use super::{Destination, Level, Output};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where the system's log listens.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Syslog's number for daemons, where the severity is added.
const FACILITY_DAEMON: u8 = 3 << 3;

/// A destination of the log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The file cannot be opened.
    #[error("cannot open {} for the log: {source}; choose another file in log_outputs", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no journal.
    #[error("cannot reach the journal for the log: {0}; choose another output in log_outputs")]
    Journald(#[source] io::Error),
    /// There are no sockets.
    #[error("cannot make a socket for the system's log: {0}")]
    Syslog(#[source] io::Error),
}

/// An output that is open.
pub(super) struct Sink {
    pub(super) level: Level,
    kind: SinkKind,
    /// Whether a line could not be written; standard error tells it once.
    has_failed: bool,
}

enum SinkKind {
    Stderr,
    File(PathBuf, File),
    Syslog {
        name: String,
        socket: UnixDatagram,
        /// Where the system's log listens.
        path: PathBuf,
    },
    Journald(Box<tracing_journald::Layer>),
}

/// What a sink takes: some take a line, the journal the event itself.
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
                // Rather a line is lost than everybody waits for the system's log.
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

    /// Writes a line: in full with its end, or its text alone where the system adds the rest.
    pub(super) fn write(&mut self, level: Level, line: &str, text: &str) {
        let written = match &mut self.kind {
            // There is nowhere left to tell it.
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
        if let Err(error) = written
            && !std::mem::replace(&mut self.has_failed, true)
        {
            let (SinkKind::File(path, _) | SinkKind::Syslog { path, .. }) = &self.kind else {
                unreachable!("only these can fail")
            };
            let path = path.display();
            let _ = writeln!(io::stderr(), "eventryd: cannot log to {path}: {error}");
        }
    }
}

/// Opened at its end, readable by its owner alone, as it names clients.
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

/// A message as the socket of the system's log takes it, which adds the time.
fn syslog_message(level: Level, name: &str, pid: u32, text: &str) -> String {
    let priority = FACILITY_DAEMON | level.syslog_severity();
    format!("<{priority}>{name}[{pid}]: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_message_has_priority_name_and_pid() {
        let message = syslog_message(Level::Warning, "libvirtd", 7, "it rains");
        assert_eq!(message, "<28>libvirtd[7]: it rains");
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
        // More than it holds while nobody reads.
        for _ in 0..10_000 {
            sink.write(Level::Error, "with time\n", "it rains");
        }
        assert!(sink.has_failed);
        let mut received = [0; 100];
        let length = system.recv(&mut received).unwrap();
        let expected = format!("<27>x[{}]: it rains", std::process::id());
        assert_eq!(String::from_utf8_lossy(&received[..length]), expected);
    }

    #[test]
    fn open_error_names_the_file() {
        let output = Output {
            level: Level::Info,
            destination: Destination::File("/nowhere/at/all".into()),
        };
        let Err(error) = Sink::open(&output) else {
            panic!("it was opened");
        };
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
