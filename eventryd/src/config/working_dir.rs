//! Resolution of relative paths (DM-112).

use std::io;
use std::path::{Path, PathBuf};

/// Working directory at the start, in which relative paths are resolved. It may be unknown, because it was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingDir(Result<PathBuf, String>);

impl WorkingDir {
    /// Creates a working directory from the result of [`std::env::current_dir`].
    ///
    /// ```
    /// use eventryd::config::WorkingDir;
    /// use std::path::Path;
    ///
    /// let directory = WorkingDir::new(Ok("/srv".into()));
    /// assert_eq!(directory.resolve(Path::new("a")).unwrap(), Path::new("/srv/a"));
    /// let unknown = WorkingDir::new(Err(std::io::ErrorKind::NotFound.into()));
    /// assert_eq!(unknown.resolve(Path::new("/a")).unwrap(), Path::new("/a"));
    /// assert!(unknown.resolve(Path::new("a")).is_err());
    /// ```
    #[must_use]
    pub fn new(found: io::Result<PathBuf>) -> WorkingDir {
        WorkingDir(found.map_err(|error| error.to_string()))
    }

    /// Returns an absolute path.
    ///
    /// # Errors
    ///
    /// A message if the path is relative and the directory is unknown.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, String> {
        match &self.0 {
            _ if path.is_absolute() => Ok(path.to_owned()),
            Ok(directory) => Ok(directory.join(path)),
            Err(cause) => Err(format!(
                "the path {path:?} is relative: cannot determine the working directory: {cause}; use an absolute path, or \
                 start in a directory that exists"
            )),
        }
    }
}
