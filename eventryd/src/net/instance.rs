//! One daemon per pid file, and one per run directory.

use super::NetError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A pid file, held as long as this lives: locked and written, and removed at the end (DM-108).
#[derive(Debug)]
pub struct Instance {
    path: PathBuf,
    /// Holds the lock; the kernel lets go of it even if the process is killed.
    _locked: File,
}

impl Instance {
    /// Takes the lock of `run_dir`, a pid file in it.
    ///
    /// # Errors
    ///
    /// [`NetError::AlreadyRunning`] if somebody holds it, [`NetError::Os`] if the file cannot be made.
    pub fn lock(run_dir: &Path) -> Result<Instance, NetError> {
        let locked = Instance::lock_at(&run_dir.join("eventryd.pid"));
        locked.map_err(|error| match error {
            NetError::PidFileInUse { pid, .. } => NetError::AlreadyRunning {
                run_dir: run_dir.to_owned(),
                pid,
            },
            other => other,
        })
    }

    /// Takes the lock of the pid file `path`.
    ///
    /// # Errors
    ///
    /// [`NetError::PidFileInUse`] if somebody holds it, [`NetError::Os`] if the file cannot be made.
    pub fn lock_at(path: &Path) -> Result<Instance, NetError> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(path)
                .map_err(NetError::os("open the pid file", path))?;
            if let Some(instance) = Instance::lock_file(file, path)? {
                return Ok(instance);
            }
        }
    }

    /// Takes the lock of a pid file that has been opened. `None` if its last holder has
    /// removed the file since: then this lock protects nothing.
    fn lock_file(mut file: File, path: &Path) -> Result<Option<Instance>, NetError> {
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
                return Err(NetError::os("lock the pid file", path)(error));
            }
        }
        if !is_still_at(&file, path) {
            return Ok(None);
        }
        let pid = std::process::id();
        file.set_len(0)
            .and_then(|()| writeln!(file, "{pid}"))
            .map_err(NetError::os("write the pid file", path))?;
        Ok(Some(Instance {
            path: path.to_owned(),
            _locked: file,
        }))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Removed while it is locked, so never that of a successor. If it stays, the next daemon takes
        // it over all the same.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(opened), Ok(found)) => opened.dev() == found.dev() && opened.ino() == found.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_has_one_daemon_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Instance::lock(dir.path()).unwrap();
        let pid = std::process::id();
        let content = fs::read_to_string(dir.path().join("eventryd.pid")).unwrap();
        assert_eq!(content, format!("{pid}\n"));

        let second = Instance::lock(dir.path()).unwrap_err();
        let NetError::AlreadyRunning { pid: told, .. } = second else {
            panic!("{second}");
        };
        assert_eq!(told, Some(pid));

        drop(first);
        assert!(!dir.path().join("eventryd.pid").exists());
        Instance::lock(dir.path()).unwrap();
    }

    /// Whoever holds the lock removes the file at its end, when another one may have opened it.
    #[test]
    fn a_lock_on_a_file_that_is_gone_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eventryd.pid");
        for is_there_a_new_one in [false, true] {
            fs::write(&path, "").unwrap();
            let opened = File::options().read(true).write(true).open(&path).unwrap();
            fs::remove_file(&path).unwrap();
            if is_there_a_new_one {
                fs::write(&path, "").unwrap();
            }
            let locked = Instance::lock_file(opened, &path);
            assert!(locked.unwrap().is_none());
        }
    }

    #[test]
    fn a_pid_file_left_by_a_killed_daemon_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("eventryd.pid"), "99999999999\nrest").unwrap();
        let instance = Instance::lock(dir.path()).unwrap();
        let content = fs::read_to_string(dir.path().join("eventryd.pid")).unwrap();
        assert_eq!(content, format!("{}\n", std::process::id()));
        drop(instance);
    }
}
