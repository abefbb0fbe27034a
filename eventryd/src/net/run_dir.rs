//! The directory the sockets live in.

use super::NetError;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the sockets live when nobody says otherwise (DM-201): `/run/eventry` for root,
/// `$XDG_RUNTIME_DIR/eventry` for a user, and for a user without one a directory of his own below the
/// temporary directory.
///
/// ```
/// use eventryd::net::default_run_dir;
/// use std::path::Path;
///
/// let tmp = Path::new("/tmp");
/// assert_eq!(default_run_dir(0, None, tmp).path(), Path::new("/run/eventry"));
/// let xdg = Some(Path::new("/run/user/1000"));
/// assert_eq!(default_run_dir(1000, xdg, tmp).path(), Path::new("/run/user/1000/eventry"));
/// assert_eq!(default_run_dir(1000, None, tmp).path(), Path::new("/tmp/eventry-1000"));
/// ```
#[must_use]
pub fn default_run_dir(uid: u32, xdg_runtime_dir: Option<&Path>, temporary: &Path) -> RunDir {
    match xdg_runtime_dir {
        _ if uid == 0 => RunDir::Public(PathBuf::from("/run/eventry")),
        Some(runtime) if runtime.is_absolute() => RunDir::Private(runtime.join("eventry")),
        _ => RunDir::Private(temporary.join(format!("eventry-{uid}"))),
    }
}

/// A run directory, and who may enter it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunDir {
    /// Everybody may enter; the modes of the sockets decide who may connect. Made with mode 0755.
    Public(PathBuf),
    /// Only the owner may enter, and it must be ours: its parent may be writable by everybody. Made
    /// with mode 0700.
    Private(PathBuf),
    /// Chosen on the command line: taken as it is, made with mode 0755 or 0700 for root or a user.
    Chosen(PathBuf),
}

impl RunDir {
    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            RunDir::Public(path) | RunDir::Private(path) | RunDir::Chosen(path) => path,
        }
    }

    /// Makes the directory and those above it, unless it is there already.
    ///
    /// # Errors
    ///
    /// [`NetError::NotPrivate`] if a private directory can be changed by others,
    /// [`NetError::Os`] if it cannot be made.
    pub fn create(&self) -> Result<(), NetError> {
        let path = self.path();
        let is_root = rustix::process::geteuid().is_root();
        let mode = match self {
            RunDir::Public(_) => 0o755,
            RunDir::Private(_) => 0o700,
            RunDir::Chosen(_) if is_root => 0o755,
            RunDir::Chosen(_) => 0o700,
        };
        let existed = path.is_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(NetError::os("make the directory", path))?;
        if let RunDir::Private(_) = self {
            // Not following a link: another user may have planted one in the temporary directory.
            let found =
                fs::symlink_metadata(path).map_err(NetError::os("examine the directory", path))?;
            let ours = found.uid() == rustix::process::geteuid().as_raw();
            if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
                return Err(NetError::NotPrivate(path.to_owned()));
            }
        } else if !existed {
            // What the umask took away is given back, as the modes of the sockets decide.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(NetError::os("set the mode of", path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_directory_that_others_can_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let run_dir = RunDir::Private(path.clone());
        run_dir.create().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        run_dir.create().unwrap();

        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(run_dir.create(), Err(NetError::NotPrivate(_))));
    }

    /// Root makes one; to others, root's own is somebody else's.
    #[test]
    fn private_directory_of_another_user_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let mut path = PathBuf::from("/root");
        if rustix::process::geteuid().is_root() {
            path = parent.path().join("run");
            RunDir::Private(path.clone()).create().unwrap();
            std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        }
        let created = RunDir::Private(path).create();
        assert!(matches!(created, Err(NetError::NotPrivate(_))));
    }

    #[test]
    fn a_private_directory_behind_a_link_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = parent.path().join("elsewhere");
        DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
        let link = parent.path().join("run");
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert!(matches!(
            RunDir::Private(link).create(),
            Err(NetError::NotPrivate(_))
        ));
    }

    #[test]
    fn a_relative_runtime_directory_is_not_used() {
        let found = default_run_dir(7, Some(Path::new("run")), Path::new("/tmp"));
        assert_eq!(found.path(), Path::new("/tmp/eventry-7"));
    }
}
