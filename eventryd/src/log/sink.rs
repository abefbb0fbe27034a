//! Destinations of the log that are open.

use super::{Destination, Level, Output};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where the system's log listens.
const SYSLOG: &str = "/dev/log";

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
    kind: Kind,
    /// Whether a line could not be written; standard error tells it once.
    failed: bool,
}

enum Kind {
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
pub(super) enum Taken<'a> {
    Line,
    Event(&'a tracing_journald::Layer),
}

impl Sink {
    pub(super) fn open(output: &Output) -> Result<Sink, SinkError> {
        let kind = match &output.destination {
            Destination::Stderr => Kind::Stderr,
            Destination::File(path) => Kind::File(path.clone(), open_file(path)?),
            Destination::Syslog(name) => {
                let socket = UnixDatagram::unbound().map_err(SinkError::Syslog)?;
                // Rather a line is lost than everybody waits for the system's log.
                socket.set_nonblocking(true).map_err(SinkError::Syslog)?;
                Kind::Syslog {
                    name: name.clone(),
                    socket,
                    path: PathBuf::from(SYSLOG),
                }
            }
            Destination::Journald => Kind::Journald(Box::new(journald()?)),
        };
        Ok(Sink {
            level: output.level,
            kind,
            failed: false,
        })
    }

    pub(super) fn takes(&self) -> Taken<'_> {
        match &self.kind {
            Kind::Journald(layer) => Taken::Event(layer),
            _ => Taken::Line,
        }
    }

    /// Writes a line: in full with its end, or its text alone where the system adds the rest.
    pub(super) fn write(&mut self, level: Level, line: &str, text: &str) {
        let written = match &mut self.kind {
            // There is nowhere left to tell it.
            Kind::Stderr => {
                let _ = io::stderr().write_all(line.as_bytes());
                return;
            }
            Kind::File(_, file) => file.write_all(line.as_bytes()),
            Kind::Syslog { name, socket, path } => {
                let message = syslog_message(level, name, std::process::id(), text);
                socket.send_to(message.as_bytes(), path).map(|_| ())
            }
            Kind::Journald(_) => return,
        };
        let Err(error) = written else { return };
        if !std::mem::replace(&mut self.failed, true) {
            let (Kind::File(path, _) | Kind::Syslog { path, .. }) = &self.kind else {
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
    fn a_message_for_syslog_has_facility_severity_name_and_process() {
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
        if let Kind::Syslog { path: place, .. } = &mut sink.kind {
            *place = path;
        }
        // More than it holds while nobody reads.
        for _ in 0..10_000 {
            sink.write(Level::Error, "with time\n", "it rains");
        }
        assert!(sink.failed);
        let mut received = [0; 100];
        let length = system.recv(&mut received).unwrap();
        let expected = format!("<27>x[{}]: it rains", std::process::id());
        assert_eq!(String::from_utf8_lossy(&received[..length]), expected);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
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
