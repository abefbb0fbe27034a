//! Opening of files that may be of any kind, and reading of whole files, up to a limit.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Maximum size of a file that is read as a whole, in bytes: the limit of libvirt for a configuration file.
pub(crate) const MAX_FILE_SIZE: usize = 10 << 20;

/// Opens a file for reading. A FIFO without a writer does not block the call.
///
/// # Errors
///
/// Those of the open.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Reads a file to its end.
///
/// # Errors
///
/// Those of the read, and one for a file of more than [`MAX_FILE_SIZE`] bytes, which may be endless (DM-113).
pub(crate) fn read_whole(file: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(MAX_FILE_SIZE as u64 + 1)
        .read_to_end(&mut content)?;
    if content.len() > MAX_FILE_SIZE {
        let message = format!("the file is longer than {MAX_FILE_SIZE} bytes");
        return Err(io::Error::other(message));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_whole_accepts_the_limit_and_no_byte_more() {
        let zeros = |count| io::repeat(0).take(count);
        assert_eq!(read_whole(zeros(10 << 20)).unwrap().len(), 10 << 20);
        assert!(read_whole(zeros((10 << 20) + 1)).is_err());
        assert!(read_whole(io::repeat(0)).is_err());
    }
}
