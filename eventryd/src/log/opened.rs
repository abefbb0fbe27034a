//! Log files that a reload has opened: those that it has created are removed if it fails.

use super::file::open_file;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Maximum number of files that are opened for a path. One is not used if a failed reload removes it meanwhile.
const MAX_ATTEMPTS: usize = 100;

/// Device and inode of a file.
type FileId = (u64, u64);

/// Log files of the process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFiles(Arc<Files>);

#[derive(Debug, Default)]
struct Files {
    /// Files that reloads have opened and that are not in force yet. Held while a file is examined or removed, and so
    /// never taken by the loop's thread.
    claims: Mutex<HashMap<FileId, Arc<()>>>,
    /// Paths of the files in force. Not held during any input or output.
    in_force: Mutex<Vec<PathBuf>>,
}

/// Open log file that is not in force yet.
pub(super) struct OpenedFile {
    pub(super) file: Arc<File>,
    pub(super) warning: Option<String>,
    pub(super) claim: FileClaim,
}

/// Claim on an opened file. A drop removes the file if the reload has created it, it is empty, no other reload has
/// opened it, and it is not in force.
pub(super) struct FileClaim {
    files: LogFiles,
    /// Path in the configuration.
    path: PathBuf,
    /// Path of the file if it is new.
    created: Option<PathBuf>,
    id: FileId,
    /// Clones are made under the lock only.
    token: Option<Arc<()>>,
}

impl LogFiles {
    /// Opens a log file, and creates it if it does not exist.
    pub(super) fn open(&self, path: &Path) -> io::Result<OpenedFile> {
        let mut attempts = 0..MAX_ATTEMPTS;
        loop {
            let opened = open_file(path)?;
            let id = id_of(&opened.file.metadata()?);
            let mut claims = self.0.claims.lock();
            claims.retain(|_, token| Arc::strong_count(token) > 1);
            let is_current = fs::metadata(path).is_ok_and(|found| id_of(&found) == id);
            if !is_current && attempts.next().is_some() {
                continue;
            }
            let token = Arc::clone(claims.entry(id).or_default());
            let claim = FileClaim {
                files: self.clone(),
                path: path.to_owned(),
                created: opened.created,
                id,
                token: Some(token),
            };
            return Ok(OpenedFile {
                file: Arc::new(opened.file),
                warning: opened.warning,
                claim,
            });
        }
    }

    /// Replaces the paths of the files in force.
    pub(super) fn set_in_force(&self, paths: Vec<PathBuf>) {
        *self.0.in_force.lock() = paths;
    }
}

impl FileClaim {
    /// Keeps the file. To be called after [`LogFiles::set_in_force`].
    pub(super) fn keep(mut self) {
        self.created = None;
    }
}

impl Drop for FileClaim {
    fn drop(&mut self) {
        let Some(created) = &self.created else {
            return;
        };
        let files = &self.files.0;
        let claims = files.claims.lock();
        self.token = None;
        let is_claimed = claims
            .get(&self.id)
            .is_some_and(|token| Arc::strong_count(token) > 1);
        let is_used = is_claimed || files.in_force.lock().contains(&self.path);
        let is_unchanged = fs::symlink_metadata(created)
            .is_ok_and(|found| id_of(&found) == self.id && found.len() == 0);
        if !is_used && is_unchanged {
            // An empty file that stays does no harm.
            let _ = fs::remove_file(created);
        }
    }
}

fn id_of(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_file_is_removed_unless_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let files = LogFiles::default();
        drop(files.open(&path).unwrap());
        assert!(!path.exists());

        // Written.
        let opened = files.open(&path).unwrap();
        fs::write(&path, "x").unwrap();
        drop(opened);
        assert!(path.exists());

        // Not new.
        fs::write(&path, "").unwrap();
        drop(files.open(&path).unwrap());
        assert!(path.exists());
        fs::remove_file(&path).unwrap();

        // Another file has its name.
        let opened = files.open(&path).unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        drop(opened);
        assert!(path.exists());
    }

    #[test]
    fn file_of_a_later_reload_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let files = LogFiles::default();
        let failing = files.open(&path).unwrap();
        let later = files.open(&path).unwrap();
        drop(failing);
        assert!(path.exists(), "opened by another reload");
        drop(later);
        fs::remove_file(&path).unwrap();

        let failing = files.open(&path).unwrap();
        let later = files.open(&path).unwrap();
        files.set_in_force(vec![path.clone()]);
        later.claim.keep();
        drop(failing);
        assert!(path.exists(), "in force");
    }

    #[test]
    fn target_of_a_link_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        std::os::unix::fs::symlink("target", &link).unwrap();
        let opened = LogFiles::default().open(&link).unwrap();
        assert!(target.exists());
        drop(opened);
        assert!(!target.exists() && link.symlink_metadata().is_ok());
    }
}
