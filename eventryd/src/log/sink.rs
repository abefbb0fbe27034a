//! Open destinations of the log. Each has a writer with its own thread, so that none delays another or the daemon.

use super::file::check_file;
use super::opened::{FileClaim, LogFiles};
use super::record::{EventOrigin, EventText, LogRecord};
use super::{Destination, Level, Output};
use crate::output::{LineWriter, OutputTarget, OutputWriter, StandardStream};
use crate::sync::Mutex;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Capacity of the queue of each output, in bytes.
const QUEUE_CAPACITY: usize = 1 << 20;

/// Capacity of the queue of [`print_failure`], in bytes.
const FAILURES_CAPACITY: usize = 1 << 16;

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
    /// The writer of an output cannot be started.
    #[error("cannot start a thread for the log: {0}")]
    Thread(#[source] io::Error),
}

/// Paths of the sockets of the system's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSockets {
    /// Datagram socket of syslog.
    pub syslog: PathBuf,
    /// Datagram socket of the journal.
    pub journal: PathBuf,
}

impl Default for LogSockets {
    /// Returns `/dev/log` and `/run/systemd/journal/socket`.
    fn default() -> LogSockets {
        LogSockets {
            syslog: PathBuf::from("/dev/log"),
            journal: PathBuf::from("/run/systemd/journal/socket"),
        }
    }
}

impl Output {
    /// Checks that the output could be opened, without a change: a missing log file is not created, and a FIFO or a
    /// device is not opened. Returns the warning that is logged when the output is opened: other users can replace the
    /// log file.
    ///
    /// # Errors
    ///
    /// [`SinkError::File`] and [`SinkError::Journald`], as when the output is opened.
    pub fn check(&self, sockets: &LogSockets) -> Result<Option<String>, SinkError> {
        match &self.destination {
            Destination::File(path) => check_file(path).map_err(|source| SinkError::File {
                path: path.clone(),
                source,
            }),
            Destination::Journald => journal_socket(&sockets.journal)
                .map(|_| None)
                .map_err(SinkError::Journald),
            Destination::Stderr | Destination::Syslog(_) => Ok(None),
        }
    }
}

/// Open output.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) level: Level,
    pub(super) destination: Destination,
    pub(super) writer: Arc<OutputWriter>,
    /// File that the writer has not switched to yet.
    next_file: Arc<Mutex<Option<Arc<File>>>>,
    /// Danger to the log file.
    pub(super) warning: Option<String>,
}

/// Output that a reload needs, without an effect on the current ones.
pub(super) struct PreparedSink {
    sink: Sink,
    /// File that the writer switches to.
    file: Option<Arc<File>>,
    /// Removes a new file if the reload fails.
    claim: Option<FileClaim>,
}

/// Parts that a committed reload no longer needs. Dropping them may close files.
pub(super) struct UnusedSinkParts {
    _writer: Option<Arc<OutputWriter>>,
    _file: Option<Arc<File>>,
}

/// Destination with what is needed to write to it.
struct SinkTarget {
    destination: Destination,
    place: Place,
    /// Not used for sockets, whose messages are whole.
    lines: LineWriter,
    /// Set after the first failed write, so that failures are printed on standard error only once.
    has_failed: bool,
}

enum Place {
    Stderr,
    File {
        file: Arc<File>,
        next: Arc<Mutex<Option<Arc<File>>>>,
    },
    Socket(UnixDatagram, PathBuf),
}

impl PreparedSink {
    /// Opens an output. It gets the writer of the `current` one with the same destination: the files of one path have
    /// one thread, also if it hangs. A file is opened by its path, so that a rotated file is created again. Of the
    /// `replaced` outputs, [`PreparedSink::commit`] may use the writer.
    pub(super) fn open(
        output: &Output,
        sockets: &LogSockets,
        files: &LogFiles,
        current: &[Sink],
        replaced: &[Sink],
    ) -> Result<PreparedSink, SinkError> {
        let (mut file, warning, claim) = match &output.destination {
            Destination::File(path) => {
                let opened = files.open(path).map_err(|source| SinkError::File {
                    path: path.clone(),
                    source,
                })?;
                (Some(opened.file), opened.warning, Some(opened.claim))
            }
            _ => (None, None, None),
        };
        let is_same = |sink: &&Sink| sink.destination == output.destination;
        let sink = match current.iter().find(is_same) {
            Some(same) => Sink {
                level: output.level,
                warning,
                ..same.clone()
            },
            None => {
                let sink = Sink::start(output, sockets, file.clone(), warning)?;
                if !replaced.iter().any(|sink| is_same(&sink)) {
                    file = None;
                }
                sink
            }
        };
        Ok(PreparedSink { sink, file, claim })
    }

    /// Passes the opened file to the writer, which switches to it after the lines that are queued. If the destination
    /// is one of the `replaced` ones, whose writer still has lines, that writer is used again.
    pub(super) fn commit(self, replaced: &[Sink]) -> (Sink, UnusedSinkParts) {
        let PreparedSink {
            mut sink,
            file,
            claim,
        } = self;
        if let Some(claim) = claim {
            claim.keep();
        }
        let mut earlier = replaced.iter();
        let earlier = earlier
            .find(|earlier| earlier.destination == sink.destination && earlier.writer.resume());
        let mut unused = None;
        if let Some(earlier) = earlier {
            unused = Some(std::mem::replace(
                &mut sink.writer,
                Arc::clone(&earlier.writer),
            ));
            sink.next_file = Arc::clone(&earlier.next_file);
        }
        let mut skipped = None;
        if let Some(file) = file {
            skipped = sink.next_file.lock().replace(file);
            sink.writer.push_reopen();
        }
        let discarded = UnusedSinkParts {
            _writer: unused,
            _file: skipped,
        };
        (sink, discarded)
    }
}

impl Sink {
    /// Starts the writer of an output.
    fn start(
        output: &Output,
        sockets: &LogSockets,
        file: Option<Arc<File>>,
        warning: Option<String>,
    ) -> Result<Sink, SinkError> {
        let next_file = Arc::new(Mutex::new(None));
        let place = match (&output.destination, file) {
            (_, Some(file)) => Place::File {
                file,
                next: Arc::clone(&next_file),
            },
            (Destination::Syslog(_), None) => {
                let socket = UnixDatagram::unbound().map_err(SinkError::Syslog)?;
                Place::Socket(socket, sockets.syslog.clone())
            }
            (Destination::Journald, None) => {
                let socket = journal_socket(&sockets.journal).map_err(SinkError::Journald)?;
                Place::Socket(socket, sockets.journal.clone())
            }
            // A file is always open here.
            (Destination::Stderr | Destination::File(_), None) => Place::Stderr,
        };
        let target = SinkTarget {
            destination: output.destination.clone(),
            place,
            lines: LineWriter::default(),
            has_failed: false,
        };
        let writer = OutputWriter::start("log", QUEUE_CAPACITY, target);
        Ok(Sink {
            level: output.level,
            destination: output.destination.clone(),
            writer: Arc::new(writer.map_err(SinkError::Thread)?),
            next_file,
            warning,
        })
    }
}

impl SinkTarget {
    fn put(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Stderr => self.lines.write(rustix::stdio::stderr(), message),
            Place::File { file, .. } => self.lines.write(&*file, message),
            Place::Socket(socket, path) => socket.send_to(message, path).map(drop),
        }
    }
}

impl OutputTarget for SinkTarget {
    fn write(&mut self, message: &[u8]) -> io::Result<()> {
        let written = self.put(message);
        if let Err(error) = &written {
            // Of standard error a failure cannot be printed.
            let is_new = !std::mem::replace(&mut self.has_failed, true);
            if is_new && self.destination != Destination::Stderr {
                let text = format!("eventryd: cannot log to {}: {error}\n", self.destination);
                print_failure(text);
            }
        }
        written
    }

    fn report_lost(&mut self, messages: u64) -> io::Result<()> {
        let origin = EventOrigin {
            time: clock_gettime(ClockId::Realtime)
                .try_into()
                .unwrap_or_default(),
            thread: u32::try_from(gettid().as_raw_pid()).unwrap_or_default(),
            level: Level::Warning,
            source: "log.sink",
            target: module_path!(),
            file: Some(file!()),
            line: Some(line!()),
        };
        let text = EventText::from_message(format_args!(
            "{messages} lines dropped here: the output did not accept them fast enough"
        ));
        let message = LogRecord::new(&origin, text).message_for(&self.destination);
        self.put(&message)
    }

    fn reopen(&mut self) {
        if let Place::File { file, next } = &mut self.place {
            let opened = next.lock().take();
            if let Some(opened) = opened {
                // Closes the replaced file.
                *file = opened;
                self.has_failed = false;
            }
        }
    }
}

/// Prints on standard error by one thread for all outputs, which may hang.
fn print_failure(text: String) {
    static PRINTER: OnceLock<Option<OutputWriter>> = OnceLock::new();
    let printer = PRINTER.get_or_init(|| {
        OutputWriter::start("print", FAILURES_CAPACITY, StandardStream::Error).ok()
    });
    // Without a thread, the text is lost: the lost lines are reported at the end.
    if let Some(printer) = printer {
        printer.push(text.into_bytes());
    }
}

/// Creates a socket for the journal, and checks that the journal is there.
fn journal_socket(path: &Path) -> io::Result<UnixDatagram> {
    // Connected for the check only: the journal may be restarted.
    UnixDatagram::unbound()?.connect(path)?;
    UnixDatagram::unbound()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_message_is_sent_to_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = LogSockets {
            syslog: dir.path().join("log"),
            ..LogSockets::default()
        };
        let system = UnixDatagram::bind(&sockets.syslog).unwrap();
        let output = Output {
            level: Level::Info,
            destination: Destination::Syslog("x".to_owned()),
        };
        let (sink, _) = PreparedSink::open(&output, &sockets, &LogFiles::default(), &[], &[])
            .unwrap()
            .commit(&[]);
        sink.writer.push(b"a message".to_vec());
        let mut received = [0; 100];
        let length = system.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"a message");
    }

    #[test]
    fn open_error_names_the_file() {
        let output = Output {
            level: Level::Info,
            destination: Destination::File("/nowhere/at/all".into()),
        };
        let error = PreparedSink::open(
            &output,
            &LogSockets::default(),
            &LogFiles::default(),
            &[],
            &[],
        )
        .err()
        .unwrap();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn journal_that_does_not_exist_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = LogSockets {
            journal: dir.path().join("socket"),
            ..LogSockets::default()
        };
        let output = Output {
            level: Level::Info,
            destination: Destination::Journald,
        };
        let error = PreparedSink::open(&output, &sockets, &LogFiles::default(), &[], &[])
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("cannot reach the journal"), "{error}");
        assert_eq!(output.check(&sockets).unwrap_err().to_string(), error);
        let _journal = UnixDatagram::bind(&sockets.journal).unwrap();
        output.check(&sockets).unwrap();
    }
}
