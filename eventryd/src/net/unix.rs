//! Listening Unix sockets.

use super::NetError;
use super::accept::{SOCKET_FLAGS, accept};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket_with};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A listening Unix socket with a path, which is removed on drop (DM-204).
///
/// ```
/// use eventryd::net::UnixListener;
/// use std::os::unix::net::UnixStream;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("sock");
/// let socket = UnixListener::bind(&path, 0o600, 16)?;
/// assert!(socket.accept()?.is_none());
/// let _client = UnixStream::connect(&path)?;
/// assert!(socket.accept()?.is_some());
/// drop(socket);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the path if the daemon created it. Another file at the same path must
    /// not be removed.
    inode: Option<(u64, u64)>,
}

impl UnixListener {
    /// Binds and listens at `path` with the access `mode`, and a queue of `backlog` connections.
    ///
    /// The socket of a dead daemon is replaced; a socket in use and any other file are not changed.
    /// The path appears only after the mode is set and the socket listens, so access is never wider
    /// than `mode`, and the umask of the process stays unchanged (DM-202, DM-203, DM-205, DM-206).
    ///
    /// # Errors
    ///
    /// [`NetError::AddressInUse`], [`NetError::NotASocket`] or [`NetError::PathTooLong`] for an
    /// unusable path, [`NetError::Io`] if a system call fails.
    pub fn bind(path: &Path, mode: u32, backlog: u32) -> Result<UnixListener, NetError> {
        UnixListener::bind_with_group(None, path, mode, backlog)
    }

    /// Checks that the path fits into an address, and is free or a socket. A socket may be in use.
    ///
    /// # Errors
    ///
    /// [`NetError::PathTooLong`] or [`NetError::NotASocket`] for an unusable path,
    /// [`NetError::Io`] if it cannot be examined.
    pub fn check(path: &Path) -> Result<(), NetError> {
        SocketAddrUnix::new(path).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
        is_socket(path).map(|_| ())
    }

    /// Binds as [`bind`](UnixListener::bind) does, and gives the socket to `group` if there is one.
    ///
    /// # Errors
    ///
    /// As for [`bind`](UnixListener::bind).
    pub fn bind_with_group(
        group: Option<u32>,
        path: &Path,
        mode: u32,
        backlog: u32,
    ) -> Result<UnixListener, NetError> {
        // The final path must fit, or no client could connect to it.
        SocketAddrUnix::new(path).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
        check_path(path)?;

        // The temporary name is no longer than the final one.
        let temporary = path.with_file_name(format!(".{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let address =
            SocketAddrUnix::new(&temporary).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None)
            .map_err(NetError::io("create a socket for", path))?;
        bind(&socket, &address).map_err(NetError::io("bind a socket for", path))?;

        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        // The group is set before the mode, so that no other group ever gets the access of the
        // mode.
        let prepared = group
            .map_or(Ok(()), |group| chown(&temporary, None, Some(group)))
            .map_err(NetError::io("set the group of", path))
            .and_then(|()| {
                fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))
                    .map_err(NetError::io("set the mode of", path))
            })
            .and_then(|()| listen(&socket, backlog).map_err(NetError::io("listen on", path)))
            .and_then(|()| {
                let made = fs::symlink_metadata(&temporary);
                made.map_err(NetError::io("examine", path))
            })
            .and_then(|made| {
                fs::rename(&temporary, path).map_err(NetError::io("rename the socket to", path))?;
                Ok((made.dev(), made.ino()))
            });
        let inode = prepared.inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        Ok(UnixListener {
            socket,
            path: path.to_owned(),
            inode: Some(inode),
        })
    }

    /// Takes over a listening socket created elsewhere, with a queue of `backlog` connections. Its
    /// path is not removed (DM-204).
    pub(super) fn from_std(
        listener: std::os::unix::net::UnixListener,
        backlog: u32,
    ) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let path = address.as_pathname().unwrap_or(Path::new("")).to_owned();
        let socket = OwnedFd::from(listener);
        listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(UnixListener {
            socket,
            path,
            inode: None,
        })
    }

    /// Accepts the next connection, non-blocking and close-on-exec; `None` if the queue is empty.
    ///
    /// # Errors
    ///
    /// As for [`Listener::accept`](super::Listener::accept).
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        Ok(accept(&self.socket)?.map(UnixStream::from))
    }

    /// Returns the path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the path, so that no further client can connect. Accepted connections stay.
    pub fn unlink(&self) {
        let Ok(found) = fs::symlink_metadata(&self.path) else {
            return;
        };
        if Some((found.dev(), found.ino())) == self.inode {
            // If the removal fails, the next daemon finds a socket that refuses connections and
            // replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// Returns `true` if the path is a socket, `false` if it does not exist.
fn is_socket(path: &Path) -> Result<bool, NetError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(NetError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(NetError::io("examine", path)(error)),
    }
}

/// Checks that the path is free or a socket without a listener.
fn check_path(path: &Path) -> Result<(), NetError> {
    if !is_socket(path)? {
        return Ok(());
    }
    let address = SocketAddrUnix::new(path).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None)
        .map_err(NetError::io("create a socket for", path))?;
    match connect(&probe, &address) {
        // `EAGAIN` means that the queue of a listener is full, so the socket is in use.
        Ok(()) | Err(Errno::AGAIN) => Err(NetError::AddressInUse(path.to_owned())),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Err(error) => Err(NetError::io("check whether a program listens on", path)(
            error,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn check_refuses_a_long_path_and_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "").unwrap();
        let _socket = UnixListener::bind(&path("sock"), 0o600, 1).unwrap();
        assert!(UnixListener::check(&path("new")).is_ok());
        assert!(UnixListener::check(&path("sock")).is_ok());
        let long = UnixListener::check(&path(&"x".repeat(120)));
        assert!(matches!(long, Err(NetError::PathTooLong(_))), "{long:?}");
        let other = UnixListener::check(&path("file"));
        assert!(matches!(other, Err(NetError::NotASocket(_))), "{other:?}");
    }

    /// Root may give the socket to any group, other users only to their own.
    #[test]
    fn socket_has_its_group_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let own = fs::metadata(dir.path()).unwrap().gid();
        let is_root = rustix::process::geteuid().is_root();
        let group = if is_root { 12_345 } else { own };
        let _socket = UnixListener::bind_with_group(Some(group), &path, 0o660, 1).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o777), (group, 0o660));
    }

    #[test]
    fn socket_mode_is_independent_of_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o700, 0o777, 0o660] {
            let path = dir.path().join("sock");
            let socket = UnixListener::bind(&path, mode, 1).unwrap();
            assert_eq!(mode_of(&path), mode);
            drop(socket);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn socket_of_a_dead_daemon_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = UnixListener::bind(&path, 0o700, 1).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        assert!(socket.accept().unwrap().is_some());
    }

    #[test]
    fn socket_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let first = UnixListener::bind(&path, 0o700, 4).unwrap();
        let second = UnixListener::bind(&path, 0o700, 4);
        assert!(matches!(second, Err(NetError::AddressInUse(_))));
        let _client = UnixStream::connect(&path).unwrap();
        assert!(first.accept().unwrap().is_some());
    }

    #[test]
    fn socket_with_a_full_queue_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let _first = UnixListener::bind(&path, 0o700, 0).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            assert!(waiting.len() < 16, "the queue is never full");
            let client =
                socket_with(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None).unwrap();
            if connect(&client, &address) == Err(Errno::AGAIN) {
                break;
            }
            waiting.push(client);
        }
        let second = UnixListener::bind(&path, 0o700, 4);
        assert!(matches!(second, Err(NetError::AddressInUse(_))));
    }

    #[test]
    fn accepted_socket_is_nonblocking_and_cloexec() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let socket = UnixListener::bind(&path, 0o700, 1).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let connection = OwnedFd::from(socket.accept().unwrap().unwrap());
        for descriptor in [&socket.socket, &connection] {
            assert!(fcntl_getfl(descriptor).unwrap().contains(OFlags::NONBLOCK));
            assert!(fcntl_getfd(descriptor).unwrap().contains(FdFlags::CLOEXEC));
        }
    }

    /// DM-407
    #[test]
    fn an_adopted_socket_gets_the_backlog_of_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // Room for one connection.
        listen(&listener, 0).unwrap();
        let _adopted = UnixListener::from_std(listener, 3).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let clients: Vec<OwnedFd> = (0..4)
            .map(|_| {
                let client =
                    socket_with(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None)
                        .unwrap();
                connect(&client, &address).unwrap();
                client
            })
            .collect();
        drop(clients);
    }

    #[test]
    fn regular_file_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        fs::write(&path, "precious").unwrap();
        let refused = UnixListener::bind(&path, 0o700, 1);
        assert!(matches!(refused, Err(NetError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn drop_leaves_the_socket_of_a_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let first = UnixListener::bind(&path, 0o700, 1).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = UnixListener::bind(&path, 0o700, 1).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn path_too_long_for_an_address_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x".repeat(200));
        let refused = UnixListener::bind(&path, 0o700, 1).unwrap_err();
        assert!(matches!(refused, NetError::PathTooLong(_)), "{refused}");
    }
}
