//! File systems in which the kernel alone creates files, whatever the permissions say.

use rustix::fs::{FsWord, PROC_SUPER_MAGIC};
use rustix::io::Errno;

/// Type of the file system `/sys`, from `linux/magic.h`.
const SYSFS_MAGIC: FsWord = 0x6265_6572;

/// Kind of a new directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewEntry {
    File,
    Directory,
}

/// Checks that a program can create an entry in a file system of this type. Returns the error of the kernel otherwise.
pub(crate) const fn check_creation_in(file_system: FsWord, entry: NewEntry) -> Result<(), Errno> {
    match (file_system, entry) {
        (PROC_SUPER_MAGIC, _) => Err(Errno::NOENT),
        (SYSFS_MAGIC, NewEntry::File) => Err(Errno::ACCESS),
        (SYSFS_MAGIC, NewEntry::Directory) => Err(Errno::PERM),
        _ => Ok(()),
    }
}
