//! Opening of a log file, and the check of it.

use crate::kernel_files::{NewEntry, check_creation_in};
use crate::trusted_path::{LastComponent, follow_links, threats_to};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fcntl_setfl, fstat, open, statfs,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Maximum number of attempts to open or create a file that other programs remove and create meanwhile.
const MAX_ATTEMPTS: usize = 100;

/// Open log file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    /// Path of the file if this open has created it. Symbolic links are followed.
    pub(super) created: Option<PathBuf>,
    /// Set if the directory lets other users replace the file.
    pub(super) warning: Option<String>,
}

/// Opens a log file for appending, and creates it if it does not exist.
///
/// A new file has mode 0600, because the log contains the identity of clients. The open never waits: a FIFO needs a
/// reader. In a directory that other users may write, a log file of root must not be a symbolic link, which could lead
/// to any file of the system (DM-1607).
pub(super) fn open_file(path: &Path) -> io::Result<OpenFile> {
    let threat = threat_to(path);
    let opened = open_or_create(path, threat.is_none());
    let (file, created) = opened.map_err(|error| open_error(error, threat.as_deref()))?;
    // The writer of the file has a thread of its own, which may wait.
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(OpenFile {
        file: File::from(file),
        created,
        warning: threat.map(|threat| warning_of(path, &threat)),
    })
}

fn warning_of(path: &Path, threat: &str) -> String {
    format!(
        "the log file {} can be replaced by other users: {threat}; choose another directory in log_outputs",
        path.display()
    )
}

/// Opens a file, or creates one where the links lead to. Returns the path of a file that it has created.
fn open_or_create(path: &Path, follows_links: bool) -> Result<(OwnedFd, Option<PathBuf>), Errno> {
    let mut flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    if !follows_links {
        flags |= OFlags::NOFOLLOW;
    }
    if ends_in_slash(path) {
        return Err(Errno::ISDIR);
    }
    for _ in 0..MAX_ATTEMPTS {
        match open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            opened => return opened.map(|file| (file, None)),
        }
        // With EXCL the kernel follows no link.
        let path = missing_file(path)?;
        let create = OFlags::CREATE | OFlags::EXCL;
        match open(&path, flags | create, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => {}
            opened => return opened.map(|file| (file, Some(path))),
        }
    }
    Err(Errno::EXIST)
}

/// Returns the error of a file that cannot be opened.
fn open_error(error: Errno, threat: Option<&str>) -> io::Error {
    match (error, threat) {
        (Errno::NXIO, _) => io::Error::other("it is a FIFO without a reader, or a socket"),
        (Errno::LOOP, Some(threat)) => {
            io::Error::other(format!("it is a symbolic link, and {threat}"))
        }
        (error, _) => error.into(),
    }
}

/// Checks that [`open_file`] could open or create the file, without a change. Returns its warning.
///
/// A FIFO and a device are not opened, which their readers and drivers would see, so one without a reader passes.
pub(super) fn check_file(path: &Path) -> io::Result<Option<String>> {
    let threat = threat_to(path);
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if threat.is_some() {
        flags |= OFlags::NOFOLLOW;
    }
    let checked = match open(path, flags, Mode::empty()) {
        _ if ends_in_slash(path) => Err(Errno::ISDIR),
        Ok(file) => match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::Symlink => Err(Errno::LOOP),
            FileType::Directory => Err(Errno::ISDIR),
            FileType::Socket => Err(Errno::NXIO),
            _ => accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS),
        },
        Err(Errno::NOENT) => check_creation(path),
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Ok(threat.map(|threat| warning_of(path, &threat))),
        Err(error) => Err(open_error(error, threat.as_deref())),
    }
}

/// Returns `true` for a final slash after a directory, with which no file is opened for creation.
fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/") && path.parent().is_some_and(Path::is_dir)
}

/// Checks that a file that does not exist could be created.
fn check_creation(path: &Path) -> Result<(), Errno> {
    let path = missing_file(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, directory, access, AtFlags::EACCESS)?;
    check_creation_in(statfs(directory)?.f_type, NewEntry::File)
}

/// Follows symbolic links to a file that does not exist.
fn missing_file(path: &Path) -> Result<PathBuf, Errno> {
    let path = follow_links(path)?;
    if ends_in_slash(&path) {
        return Err(Errno::ISDIR);
    }
    Ok(path)
}

/// Returns the reason for which other users may replace the log file if the daemon runs as root and there is one: its
/// directory, one above it or a link to one belongs to another user or is writable for others.
fn threat_to(path: &Path) -> Option<String> {
    if !geteuid().is_root() {
        return None;
    }
    let threats = threats_to(path, LastComponent::New, geteuid().as_raw());
    // The directory of the file comes last.
    threats.into_iter().next_back().map(|threat| threat.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opened_file_blocks_and_appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let OpenFile { file, created, .. } = open_file(&path).unwrap();
        assert_eq!(created, Some(path.clone()));
        assert_eq!(open_file(&path).unwrap().created, None);
        let flags = rustix::fs::fcntl_getfl(&file).unwrap();
        assert!(flags.contains(OFlags::APPEND) && !flags.contains(OFlags::NONBLOCK));
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_mode & 0o777, 0o600);
    }

    #[test]
    fn check_file_agrees_with_open_file_and_changes_nothing() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (target, link) in [
            ("new", "to_new"),
            ("to_new", "to_link"),
            ("no/new", "dangling"),
            ("loop", "loop"),
            ("file", "to_file"),
        ] {
            symlink(target, path(link)).unwrap();
        }
        let names = [
            "file", "file/", "file/x", "socket", ".", "new", "new/", "no/new", "to_new", "to_link",
            "dangling", "loop", "to_file",
        ];
        let elsewhere = ["/dev/null", "/proc/eventry-log", "/sys/eventry-log"];
        let text = |error: io::Error| error.to_string();
        for path in names
            .map(path)
            .into_iter()
            .chain(elsewhere.map(PathBuf::from))
        {
            let _ = std::fs::remove_file(dir.path().join("new"));
            let existed = path.exists();
            let checked = check_file(&path).map_err(text);
            assert_eq!(path.exists(), existed);
            let opened = open_file(&path).map(|opened| opened.warning).map_err(text);
            assert_eq!(checked, opened, "{}", path.display());
        }
    }

    /// Opening it would wait for a writer.
    #[test]
    fn check_file_does_not_open_a_fifo() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let checked = test_support::timeout::bounded("the check", move || check_file(&path));
        checked.unwrap();
    }

    #[test]
    fn directory_is_no_log_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open_file(dir.path()).is_err());
        assert!(check_file(dir.path()).is_err());
    }
}
