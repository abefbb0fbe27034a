//! Pid files, which ensure a single daemon per file and per run directory.

use super::NetError;
use crate::file_kind::special_kind;
use crate::kernel_files::{NewEntry, check_creation_in};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, accessat, fchmod, flock,
    fstat, fstatfs, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A locked pid file. It holds the process id, and is removed on drop (DM-108).
#[derive(Debug)]
pub struct PidFile {
    place: Place,
    /// The open file holds the lock. The kernel releases it even if the process is killed.
    lock: File,
}

impl PidFile {
    /// Returns the path of the pid file in a run directory.
    #[must_use]
    pub fn path_in(run_dir: &Path) -> PathBuf {
        run_dir.join(NAME)
    }

    /// Locks `eventryd.pid` in the run directory.
    ///
    /// # Errors
    ///
    /// [`NetError::AlreadyRunning`] if another process holds the lock, otherwise as for
    /// [`acquire`](PidFile::acquire).
    pub fn acquire_in(run_dir: &Path) -> Result<PidFile, NetError> {
        let locked = PidFile::acquire(&PidFile::path_in(run_dir));
        locked.map_err(|error| match error {
            NetError::PidFileInUse { pid, .. } => NetError::AlreadyRunning {
                run_dir: run_dir.to_owned(),
                pid,
            },
            other => error_in_run_dir(other),
        })
    }

    /// Checks that [`acquire_in`](PidFile::acquire_in) could create or open the file.
    ///
    /// # Errors
    ///
    /// As for [`check`](PidFile::check).
    pub fn check_in(run_dir: &Path) -> Result<(), NetError> {
        PidFile::check(&PidFile::path_in(run_dir)).map_err(error_in_run_dir)
    }

    /// Locks the pid file `path`, creating it if necessary.
    ///
    /// The file is opened in its directory, which is examined before, and a symbolic link is not
    /// followed. The rule for the directory: users other than root and its owner must not be able
    /// to replace the file. It must not be writable by others without the sticky bit; in a sticky
    /// directory an existing file must belong to the user of the daemon. The file must be a regular
    /// one with a single name, and `path` must not end in `/` or `/.`.
    ///
    /// # Errors
    ///
    /// [`NetError::PidFileInUse`] if another process holds the lock, [`NetError::UnsafePidFile`] if
    /// the rule is broken, [`NetError::PidFileIo`] if the file cannot be created.
    pub fn acquire(path: &Path) -> Result<PidFile, NetError> {
        for _ in 0..MAX_ATTEMPTS {
            let place = Place::examine(path)?;
            let file = place.open(OFlags::CREATE)?;
            if let Some(pid_file) = PidFile::try_acquire(file, place)? {
                return Ok(pid_file);
            }
        }
        let replaced = io::Error::other("other processes keep replacing it");
        Err(failed(LOCK, path)(replaced))
    }

    /// Checks that [`acquire`](PidFile::acquire) could create or open the file, without a change and
    /// without the lock, which a running daemon may hold.
    ///
    /// # Errors
    ///
    /// As for `acquire`, except [`NetError::PidFileInUse`].
    pub fn check(path: &Path) -> Result<(), NetError> {
        let place = Place::examine(path)?;
        if place.exists {
            return place.open(OFlags::empty()).map(drop);
        }
        accessat(
            &place.directory,
            ".",
            Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::EACCESS,
        )
        .and_then(|()| fstatfs(&place.directory))
        .and_then(|found| check_creation_in(found.f_type, NewEntry::File))
        .map_err(failed(OPEN, path))
    }

    /// Locks an open pid file. Returns `None` if the previous holder has removed the file
    /// meanwhile: the lock then excludes no other daemon, because the next one creates a new file.
    fn try_acquire(mut file: File, place: Place) -> Result<Option<PidFile>, NetError> {
        let path = &place.path;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut content = String::new();
                let read = file.read_to_string(&mut content);
                return Err(NetError::PidFileInUse {
                    path: path.clone(),
                    pid: read.ok().and_then(|_| content.trim().parse().ok()),
                });
            }
            Err(error) => {
                return Err(failed(LOCK, path)(error));
            }
        }
        if !place.holds(&file) {
            return Ok(None);
        }
        // A file that another program has created may have another owner, who decides about its mode.
        let _ = fchmod(&file, PRIVATE);
        let pid = std::process::id();
        file.set_len(0)
            .and_then(|()| writeln!(file, "{pid}"))
            .map_err(failed("write", path))?;
        Ok(Some(PidFile { place, lock: file }))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another program may have removed the file, and the name may be that of a successor's file. No successor
        // replaces this file, whose lock is still held. If the removal fails, the next daemon reuses the file.
        if self.place.holds(&self.lock) {
            let _ = unlinkat(&self.place.directory, &self.place.name, AtFlags::empty());
        }
    }
}

/// Name of the pid file in a run directory.
const NAME: &str = "eventryd.pid";

/// Failed action in the errors of [`Place`].
const OPEN: &str = "open";

/// Failed action in the errors of the lock.
const LOCK: &str = "lock";

/// Kind of a path in an unsafe directory.
const OPEN_TO_ALL: &str = "is in a directory where every user can replace it";

/// Remedy for the pid file of the configuration. Not its removal: the path may be that of a device of the system.
const REMEDY: &str = "choose another path in eventry_pid_file (or --pid-file)";

/// Remedy for a run directory.
const RUN_DIR_REMEDY: &str = "choose another directory with --run-dir or unix_sock_dir";

/// Remedy for a file in a run directory, which has the name of the daemon's own.
const RUN_DIR_FILE_REMEDY: &str =
    "move it away, or choose another directory with --run-dir or unix_sock_dir";

/// Mode of the file. A lock needs an open file, whatever it is open for, so a user that can read the file could hold the
/// lock and prevent a start.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Maximum number of files that are locked. A file is not used if its holder has removed it meanwhile.
const MAX_ATTEMPTS: usize = 100;

/// Place of a pid file: its directory, examined and open, and its name there.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    /// Set if the name exists.
    exists: bool,
}

impl Place {
    fn examine(path: &Path) -> Result<Place, NetError> {
        let refuse = |found: &str| Err(unsafe_file(path, found.to_owned()));
        // `file_name` ignores such an end, and the kernel does not.
        let bytes = path.as_os_str().as_bytes();
        if path.file_name().is_some() && (bytes.ends_with(b"/") || bytes.ends_with(b"/.")) {
            return refuse("names a directory");
        }
        let Some(name) = path.file_name() else {
            return refuse("names no file");
        };
        // The directory may be named by a symbolic link, as /var/run is.
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, directory, flags, Mode::empty()).map_err(failed(OPEN, path))?;
        let found = fstat(&directory).map_err(failed(OPEN, path))?;
        let is_open_to_all = found.st_mode & 0o002 != 0;
        let is_sticky = found.st_mode & 0o1000 != 0;
        if is_open_to_all && !is_sticky {
            return refuse(OPEN_TO_ALL);
        }
        let file = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(file) => Some(file),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(failed(OPEN, path)(error)),
        };
        if let Some(file) = &file {
            check_file(file, is_open_to_all).map_err(|found| unsafe_file(path, found))?;
        }
        Ok(Place {
            path: path.to_owned(),
            directory,
            name: name.to_owned(),
            exists: file.is_some(),
        })
    }

    /// Opens the file. `NONBLOCK`, because a FIFO may have taken the place of a regular file.
    fn open(&self, create: OFlags) -> Result<File, NetError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | create;
        let file = openat(&self.directory, &self.name, flags, PRIVATE)
            .map_err(failed(OPEN, &self.path))?;
        let found = fstat(&file).map_err(failed(OPEN, &self.path))?;
        check_file(&found, false).map_err(|found| unsafe_file(&self.path, found))?;
        Ok(File::from(file))
    }

    /// Returns `true` if the name in the directory is still that of the open file.
    fn holds(&self, file: &File) -> bool {
        let found = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        match (fstat(file), found) {
            (Ok(opened), Ok(found)) => {
                (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino)
            }
            _ => false,
        }
    }
}

/// Checks that a file can be a pid file; the error says what it is instead.
fn check_file(file: &Stat, must_be_own: bool) -> Result<(), String> {
    let kind = FileType::from_raw_mode(file.st_mode);
    let found = match special_kind(kind) {
        Some(link) if kind == FileType::Symlink => format!("is {link}, which is not followed"),
        Some(kind) => format!("is {kind}"),
        // A file that is removed between two steps has no name.
        None if file.st_nlink > 1 => "has a second name (a hard link)".to_owned(),
        None if must_be_own && file.st_uid != geteuid().as_raw() => {
            "belongs to another user and is in a directory that all users can write to".to_owned()
        }
        None => return Ok(()),
    };
    Err(found)
}

fn unsafe_file(path: &Path, found: String) -> NetError {
    NetError::UnsafePidFile {
        path: path.to_owned(),
        found,
        remedy: REMEDY,
    }
}

/// Adds the failed action on a pid file to an error of the operating system.
fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> NetError {
    let path = path.to_owned();
    move |source| {
        let directory = path.parent().filter(|directory| {
            !directory.as_os_str().is_empty() && directory.symlink_metadata().is_err()
        });
        let remedy = match directory {
            Some(missing) => {
                format!("create the directory {}, or {REMEDY}", missing.display())
            }
            None => REMEDY.to_owned(),
        };
        NetError::PidFileIo {
            action,
            source: source.into(),
            remedy,
            path,
        }
    }
}

/// Returns an error of the pid file in a run directory, with the options of that directory.
fn error_in_run_dir(mut error: NetError) -> NetError {
    match &mut error {
        NetError::UnsafePidFile { found, remedy, .. } if found == OPEN_TO_ALL => {
            *remedy = RUN_DIR_REMEDY;
        }
        NetError::UnsafePidFile { remedy, .. } => *remedy = RUN_DIR_FILE_REMEDY,
        NetError::PidFileIo { remedy, .. } => *remedy = RUN_DIR_REMEDY.to_owned(),
        _ => {}
    }
    error
}

#[cfg(test)]
#[path = "pid_file_tests.rs"]
mod tests;
