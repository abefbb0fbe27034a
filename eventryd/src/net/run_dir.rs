//! The directory of the sockets.

use super::NetError;
use crate::kernel_files::{NewEntry, check_creation_in};
use rustix::fs::{Access, AtFlags, CWD, accessat, statfs};
use rustix::io::Errno;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Returns the default directory of the sockets (DM-201): `/run/eventry` for root,
/// `$XDG_RUNTIME_DIR/eventry` for another user, and `eventry-UID` in the directory `temporary` for
/// a user without that variable.
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

/// A run directory and its access rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunDir {
    /// Accessible to all users, mode 0755; the modes of the sockets restrict access.
    Public(PathBuf),
    /// Accessible to its owner only, mode 0700. The daemon's user must own it, because the parent
    /// directory may be world-writable.
    Private(PathBuf),
    /// Given on the command line. An existing directory is used unchanged; a new one gets mode 0755
    /// for root and 0700 for other users.
    Chosen(PathBuf),
}

impl RunDir {
    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            RunDir::Public(path) | RunDir::Private(path) | RunDir::Chosen(path) => path,
        }
    }

    /// Returns the mode of a new directory.
    const fn mode(&self, is_root: bool) -> u32 {
        match self {
            RunDir::Public(_) => 0o755,
            RunDir::Chosen(_) if is_root => 0o755,
            RunDir::Private(_) | RunDir::Chosen(_) => 0o700,
        }
    }

    /// Creates the directory and its parents unless they exist.
    ///
    /// # Errors
    ///
    /// [`NetError::NotPrivate`] if another user owns a private directory or may change it,
    /// [`NetError::Io`] if the directory cannot be created.
    pub fn create(&self) -> Result<(), NetError> {
        let path = self.path();
        let mode = self.mode(rustix::process::geteuid().is_root());
        let existed = path.is_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(NetError::io("create the directory", path))?;
        if let RunDir::Private(_) = self {
            check_private(path)?;
        } else if !existed {
            // Restores the bits that the umask cleared, because the modes of the sockets restrict
            // access.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(NetError::io("set the mode of", path))?;
        }
        Ok(())
    }

    /// Checks that [`create`](RunDir::create) would succeed, without a change.
    ///
    /// # Errors
    ///
    /// As for `create`.
    pub fn check(&self) -> Result<(), NetError> {
        let path = self.path();
        let failed = NetError::io("create the directory", path);
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => match self {
                RunDir::Private(_) => check_private(path),
                RunDir::Public(_) | RunDir::Chosen(_) => Ok(()),
            },
            Ok(_) => Err(failed(io::Error::from(Errno::EXIST))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            // The directory is made in the nearest ancestor that exists.
            Err(_) => {
                let mut ancestors = path.ancestors();
                let existing = ancestors.find(|ancestor| ancestor.symlink_metadata().is_ok());
                let existing = existing.unwrap_or(Path::new("/"));
                check_new_directory_in(existing).map_err(|error| failed(error.into()))
            }
        }
    }
}

/// Checks that a directory could be created in `existing`, which may be a symbolic link without a target.
fn check_new_directory_in(existing: &Path) -> Result<(), Errno> {
    if !existing.is_dir() {
        return Err(Errno::EXIST);
    }
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, existing, access, AtFlags::EACCESS)?;
    check_creation_in(statfs(existing)?.f_type, NewEntry::Directory)
}

/// Checks that a directory exists and belongs to the user of the process alone. Symbolic links are
/// not followed: another user may have placed one in the temporary directory.
fn check_private(path: &Path) -> Result<(), NetError> {
    let found = fs::symlink_metadata(path).map_err(NetError::io("examine the directory", path))?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
        return Err(NetError::NotPrivate(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_that_of_the_user() {
        let default = |uid, runtime| {
            let runtime: Option<&str> = runtime;
            default_run_dir(uid, runtime.map(Path::new), Path::new("/t"))
        };
        let private = |path: &str| RunDir::Private(path.into());
        assert_eq!(
            default(0, Some("/run/user/0")),
            RunDir::Public("/run/eventry".into())
        );
        assert_eq!(
            default(7, Some("/run/user/7")),
            private("/run/user/7/eventry")
        );
        assert_eq!(default(7, Some("user/7")), private("/t/eventry-7"));
        assert_eq!(default(7, None), private("/t/eventry-7"));
    }

    #[test]
    fn new_directory_is_for_all_users_only_if_it_is_root_s() {
        let modes = |dir: fn(PathBuf) -> RunDir| {
            [true, false].map(|is_root| dir("/x".into()).mode(is_root))
        };
        assert_eq!(modes(RunDir::Public), [0o755, 0o755]);
        assert_eq!(modes(RunDir::Private), [0o700, 0o700]);
        assert_eq!(modes(RunDir::Chosen), [0o755, 0o700]);
    }

    #[test]
    fn private_directory_open_to_others_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let run_dir = RunDir::Private(path.clone());
        run_dir.create().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        run_dir.create().unwrap();

        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(run_dir.create(), Err(NetError::NotPrivate(_))));
    }

    /// Root creates such a directory; for other users, `/root` is one.
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
    fn private_directory_behind_a_symlink_is_refused() {
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
    fn relative_xdg_runtime_dir_is_ignored() {
        let found = default_run_dir(7, Some(Path::new("run")), Path::new("/tmp"));
        assert_eq!(found.path(), Path::new("/tmp/eventry-7"));
    }

    #[test]
    fn check_agrees_with_create_and_changes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("open")).unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(path("open"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
        let dangling = ["dangling", "dangling/below"].map(path);
        let chosen = ["file", "file/below", "open", "link", "new", "new/deep"].map(path);
        let by_kernel = ["/proc/eventry-run/deep", "/sys/eventry-run"].map(PathBuf::from);
        let chosen = chosen.into_iter().chain(dangling).chain(by_kernel);
        let chosen = chosen.map(RunDir::Chosen);
        let private = ["file", "open", "link", "own"].map(|name| RunDir::Private(path(name)));
        for run_dir in chosen.chain(private) {
            let existed = run_dir.path().exists();
            let checked = run_dir.check().map_err(|error| error.to_string());
            assert_eq!(run_dir.path().exists(), existed);
            let created = run_dir.create().map_err(|error| error.to_string());
            assert_eq!(checked, created, "{run_dir:?}");
        }
    }
}
