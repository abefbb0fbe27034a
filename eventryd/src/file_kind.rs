//! Kinds of files, for messages about files that must be regular.

use rustix::fs::FileType;

/// Returns the kind of a file with an article, such as "a FIFO"; `None` for a regular file.
pub(crate) const fn special_kind(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    }
}
