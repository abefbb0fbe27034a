//! Pid files, which ensure a single daemon per file and per run directory.

use super::NetError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A locked pid file. It holds the process id, and is removed on drop (DM-108).
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// The open file holds the lock. The kernel releases it even if the process is killed.
    _lock: File,
}

impl PidFile {
    /// Locks `eventryd.pid` in the run directory.
    ///
    /// # Errors
    ///
    /// [`NetError::AlreadyRunning`] if another process holds the lock, [`NetError::Io`] if the file
    /// cannot be created.
    pub fn acquire_in(run_dir: &Path) -> Result<PidFile, NetError> {
        let locked = PidFile::acquire(&run_dir.join("eventryd.pid"));
        locked.map_err(|error| match error {
            NetError::PidFileInUse { pid, .. } => NetError::AlreadyRunning {
                run_dir: run_dir.to_owned(),
                pid,
            },
            other => other,
        })
    }

    /// Locks the pid file `path`, creating it if necessary.
    ///
    /// # Errors
    ///
    /// [`NetError::PidFileInUse`] if another process holds the lock, [`NetError::Io`] if the file
    /// cannot be created.
    pub fn acquire(path: &Path) -> Result<PidFile, NetError> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(path)
                .map_err(NetError::io("open the pid file", path))?;
            if let Some(pid_file) = PidFile::try_acquire(file, path)? {
                return Ok(pid_file);
            }
        }
    }

    /// Locks an open pid file. Returns `None` if the previous holder has removed the file
    /// meanwhile: the lock then excludes no other daemon, because the next one creates a new file.
    fn try_acquire(mut file: File, path: &Path) -> Result<Option<PidFile>, NetError> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut content = String::new();
                let read = file.read_to_string(&mut content);
                return Err(NetError::PidFileInUse {
                    path: path.to_owned(),
                    pid: read.ok().and_then(|_| content.trim().parse().ok()),
                });
            }
            Err(error) => {
                return Err(NetError::io("lock the pid file", path)(error));
            }
        }
        if !is_file_at(&file, path) {
            return Ok(None);
        }
        let pid = std::process::id();
        file.set_len(0)
            .and_then(|()| writeln!(file, "{pid}"))
            .map_err(NetError::io("write the pid file", path))?;
        Ok(Some(PidFile {
            path: path.to_owned(),
            _lock: file,
        }))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The lock is still held, so the file cannot belong to a successor. If the removal fails,
        // the next daemon reuses the file.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_file_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(opened), Ok(found)) => opened.dev() == found.dev() && opened.ino() == found.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let locked = PidFile::try_acquire(opened, &path);
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
}
