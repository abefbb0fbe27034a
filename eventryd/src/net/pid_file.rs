//! Pid files, which ensure a single daemon per file and per run directory.

use super::NetError;
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
    /// Locks `eventryd.pid` in the run directory.
    ///
    /// # Errors
    ///
    /// [`NetError::AlreadyRunning`] if another process holds the lock, [`NetError::Io`] if the file
    /// cannot be created.
    pub fn acquire_in(run_dir: &Path) -> Result<PidFile, NetError> {
        let locked = PidFile::acquire(&run_dir.join(NAME));
        locked.map_err(|error| match error {
            NetError::PidFileInUse { pid, .. } => NetError::AlreadyRunning {
                run_dir: run_dir.to_owned(),
                pid,
            },
            other => other,
        })
    }

    /// Checks that [`acquire_in`](PidFile::acquire_in) could create or open the file.
    ///
    /// # Errors
    ///
    /// As for [`check`](PidFile::check).
    pub fn check_in(run_dir: &Path) -> Result<(), NetError> {
        PidFile::check(&run_dir.join(NAME))
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
    /// the rule is broken, [`NetError::Io`] if the file cannot be created.
    pub fn acquire(path: &Path) -> Result<PidFile, NetError> {
        for _ in 0..MAX_ATTEMPTS {
            let place = Place::examine(path)?;
            let file = place.open(OFlags::CREATE)?;
            if let Some(pid_file) = PidFile::try_acquire(file, place)? {
                return Ok(pid_file);
            }
        }
        let replaced = io::Error::other("other processes keep replacing it");
        Err(NetError::io(LOCK, path)(replaced))
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
        .map_err(NetError::io(OPEN, path))
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
                return Err(NetError::io(LOCK, path)(error));
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
            .map_err(NetError::io("write the pid file", path))?;
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
const OPEN: &str = "open the pid file";

/// Failed action in the errors of the lock.
const LOCK: &str = "lock the pid file";

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
        let refuse = |found| Err(unsafe_file(path, found));
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
        let directory =
            openat(CWD, directory, flags, Mode::empty()).map_err(NetError::io(OPEN, path))?;
        let found = fstat(&directory).map_err(NetError::io(OPEN, path))?;
        let is_open_to_all = found.st_mode & 0o002 != 0;
        let is_sticky = found.st_mode & 0o1000 != 0;
        if is_open_to_all && !is_sticky {
            return refuse("is in a directory where every user can replace it");
        }
        let file = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(file) => Some(file),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(NetError::io(OPEN, path)(error)),
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
            .map_err(NetError::io(OPEN, &self.path))?;
        let found = fstat(&file).map_err(NetError::io(OPEN, &self.path))?;
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
fn check_file(file: &Stat, must_be_own: bool) -> Result<(), &'static str> {
    match FileType::from_raw_mode(file.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err("is a symbolic link, which is not followed"),
        FileType::Directory => return Err("is a directory"),
        FileType::Fifo => return Err("is a FIFO"),
        FileType::Socket => return Err("is a socket"),
        _ => return Err("is a device"),
    }
    // A file that is removed between two steps has no name.
    if file.st_nlink > 1 {
        return Err("has a second name (a hard link)");
    }
    if must_be_own && file.st_uid != geteuid().as_raw() {
        return Err("belongs to another user and is in a directory that all users can write to");
    }
    Ok(())
}

fn unsafe_file(path: &Path, found: &'static str) -> NetError {
    NetError::UnsafePidFile {
        path: path.to_owned(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn acquire_in_fails_while_another_process_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = PidFile::acquire_in(dir.path()).unwrap();
        let pid = std::process::id();
        let content = fs::read_to_string(dir.path().join("eventryd.pid")).unwrap();
        assert_eq!(content, format!("{pid}\n"));

        let second = PidFile::acquire_in(dir.path()).unwrap_err();
        let NetError::AlreadyRunning { pid: reported, .. } = second else {
            panic!("{second}");
        };
        assert_eq!(reported, Some(pid));

        drop(first);
        assert!(!dir.path().join("eventryd.pid").exists());
        PidFile::acquire_in(dir.path()).unwrap();
    }

    /// The holder of the lock removes the file on exit, and another process may have opened it
    /// before.
    #[test]
    fn lock_on_a_removed_file_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eventryd.pid");
        for has_new_file in [false, true] {
            fs::write(&path, "").unwrap();
            let opened = File::options().read(true).write(true).open(&path).unwrap();
            fs::remove_file(&path).unwrap();
            if has_new_file {
                fs::write(&path, "").unwrap();
            }
            let locked = PidFile::try_acquire(opened, Place::examine(&path).unwrap());
            assert!(locked.unwrap().is_none());
        }
    }

    #[test]
    fn pid_file_of_a_killed_daemon_is_reused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("eventryd.pid"), "99999999999\nrest").unwrap();
        let pid_file = PidFile::acquire_in(dir.path()).unwrap();
        let content = fs::read_to_string(dir.path().join("eventryd.pid")).unwrap();
        assert_eq!(content, format!("{}\n", std::process::id()));
        drop(pid_file);
    }

    fn refused(path: &Path) -> String {
        let error = PidFile::acquire(path).unwrap_err().to_string();
        let checked = PidFile::check(path).unwrap_err().to_string();
        assert_eq!(checked, error);
        error
    }

    #[test]
    fn acquire_follows_no_link_and_leaves_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("eventryd.pid"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(refused(&link).contains("is a symbolic link"));
        assert!(PidFile::acquire_in(dir.path()).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");

        fs::remove_file(&link).unwrap();
        fs::hard_link(&target, &link).unwrap();
        assert!(refused(&link).contains("has a second name"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn acquire_takes_regular_files_only_and_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        rustix::fs::mkfifoat(CWD, path("fifo"), Mode::RWXU).unwrap();
        fs::create_dir(path("dir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (name, found) in [
            ("fifo", "a FIFO"),
            ("dir", "a directory"),
            ("socket", "a socket"),
        ] {
            let error = refused(&path(name));
            assert!(error.contains(&format!("{name} is {found};")), "{error}");
        }
        assert!(refused(Path::new("/dev/null")).contains("is a device"));
        assert!(refused(Path::new("/")).contains("names no file"));
        assert!(refused(&path("new/")).contains("names a directory"));
        for by_kernel in ["/proc/eventry.pid", "/sys/eventry.pid"] {
            assert!(refused(Path::new(by_kernel)).contains("cannot open the pid file"));
        }
        assert!(refused(&path("missing/pid")).contains("cannot open the pid file"));
    }

    #[test]
    fn directory_writable_by_all_must_be_sticky() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let set_mode = |mode| {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        };
        for (mode, is_accepted) in [
            (0o700, true),
            (0o775, true),
            (0o1777, true),
            (0o777, false),
            (0o702, false),
        ] {
            set_mode(mode);
            assert_eq!(PidFile::check(&path).is_ok(), is_accepted, "{mode:o}");
            assert_eq!(PidFile::acquire(&path).is_ok(), is_accepted, "{mode:o}");
        }
        set_mode(0o1777);
        fs::write(&path, "").unwrap();
        assert!(PidFile::check(&path).is_ok());
        // Only root can give the file to another user.
        if std::os::unix::fs::chown(&path, Some(1), None).is_ok() {
            assert!(refused(&path).contains("belongs to another user"));
            set_mode(0o700);
            assert!(PidFile::check(&path).is_ok());
        }
    }

    #[test]
    fn check_changes_nothing_and_ignores_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        PidFile::check(&path).unwrap();
        assert!(!path.exists());
        let held = PidFile::acquire(&path).unwrap();
        PidFile::check(&path).unwrap();
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content, format!("{}\n", std::process::id()));
        drop(held);
    }
}
