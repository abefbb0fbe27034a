//! Standard output and standard error, without the locks of `std`: a thread that hangs in a write would hold them.

use super::{OutputTarget, OutputWriter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// A standard stream of the process, as an [`OutputTarget`]. The descriptor may be redirected between two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl StandardStream {
    fn descriptor(self) -> BorrowedFd<'static> {
        match self {
            StandardStream::Output => rustix::stdio::stdout(),
            StandardStream::Error => rustix::stdio::stderr(),
        }
    }
}

impl OutputTarget for StandardStream {
    fn write(&mut self, message: &[u8]) -> io::Result<()> {
        write_bytes(self.descriptor(), message).1
    }

    fn report_lost(&mut self, _messages: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines to descriptors, so that a line that a failed write has cut is not joined to the next one.
#[derive(Clone, Debug, Default)]
pub struct LineWriter {
    /// The last write failed in the middle of a line.
    is_torn: bool,
}

impl LineWriter {
    /// Writes whole lines. Waits for room if the descriptor does not block.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`; a part of the bytes may be written. The next write begins a new line then.
    pub fn write(&mut self, descriptor: impl AsFd, lines: &[u8]) -> io::Result<()> {
        let descriptor = descriptor.as_fd();
        // The file may have been truncated or replaced since.
        if self.is_torn && !is_empty_file(descriptor) {
            write_bytes(descriptor, b"\n").1?;
        }
        let (written, result) = write_bytes(descriptor, lines);
        self.is_torn = result.is_err() && written > 0;
        result
    }
}

fn is_empty_file(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_size == 0
    })
}

/// Writes bytes until all are written or an error occurs. Returns the number of those that are written. Waits for room
/// if the descriptor does not block.
fn write_bytes(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(descriptor, &bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)];
                // Another write follows in any case.
                let _ = poll(&mut polled, None);
            }
            Err(error) => return (written, Err(error.into())),
        }
    }
    (written, Ok(()))
}

/// Prints texts to a standard stream by one thread. Returns when they are printed, or when none has been printed for the
/// time of `patience`. Errors are ignored: a closed or full stream is no fault of the daemon.
pub fn print_in_time(stream: StandardStream, texts: Vec<String>, patience: Duration) {
    let capacity = texts.iter().map(|text| text.len() + 1024).sum();
    match OutputWriter::start("print", capacity, stream) {
        Ok(writer) => {
            let mut unwritten = u64::MAX;
            for text in texts {
                writer.push(text.into_bytes());
            }
            loop {
                let left = writer.flush(patience);
                if left == 0 || left >= unwritten {
                    break;
                }
                unwritten = left;
            }
        }
        // Without threads there is no daemon that could wait.
        Err(_) => {
            for text in texts {
                let _ = write_bytes(stream.descriptor(), text.as_bytes());
            }
        }
    }
}
