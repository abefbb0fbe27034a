//! Standard output and standard error, without the locks of `std`: a thread that hangs in a write would hold them.

use super::{OutputTarget, OutputWriter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
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
        write_all(self.descriptor(), message)
    }

    fn report_lost(&mut self, _messages: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Writes everything. Waits for room if the descriptor does not block.
///
/// # Errors
///
/// Those of `write(2)`; a part of the bytes may be written.
pub fn write_all(descriptor: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    let descriptor = descriptor.as_fd();
    while !bytes.is_empty() {
        match rustix::io::write(descriptor, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)];
                // Another write follows in any case.
                let _ = poll(&mut polled, None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Prints to a standard stream, and waits for `timeout` at most. Errors are ignored: a closed or full stream is no
/// fault of the daemon.
pub fn print_in_time(stream: StandardStream, text: String, timeout: Duration) {
    match OutputWriter::start("print", text.len() + 1024, stream) {
        Ok(writer) => {
            writer.push(text.into_bytes());
            writer.flush(timeout);
        }
        // Without threads there is no daemon that could wait.
        Err(_) => drop(write_all(stream.descriptor(), text.as_bytes())),
    }
}
