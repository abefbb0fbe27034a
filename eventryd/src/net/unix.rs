//! Listening Unix sockets.

use super::NetError;
use super::listener::{FLAGS, accept};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket_with};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening Unix socket with a name in the file system, which is removed with it (DM-204).
///
/// ```
/// use eventryd::net::UnixSocket;
/// use std::os::unix::net::UnixStream;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("sock");
/// let socket = UnixSocket::bind(&path, 0o600, 16)?;
/// assert!(socket.accept()?.is_none());
/// let _client = UnixStream::connect(&path)?;
/// assert!(socket.accept()?.is_some());
/// drop(socket);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixSocket {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the name, if we made it; another file of that name is not ours to remove.
    identity: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Binds and listens at `path`, reachable for those whom `mode` lets through, with room for
    /// `backlog` connections that nobody has accepted yet.
    ///
    /// A name that a dead daemon left is replaced; one that answers, or is no socket, is left alone. The
    /// name appears when the socket has its mode and listens: there is no moment in which somebody else
    /// could connect, and the process's umask is not touched (DM-202, DM-203, DM-205, DM-206).
    ///
    /// # Errors
    ///
    /// [`NetError`]
    pub fn bind(path: &Path, mode: u32, backlog: u32) -> Result<UnixSocket, NetError> {
        UnixSocket::bind_for(None, path, mode, backlog)
    }

    /// The same for a socket that belongs to the group with the number `group`, if that is given.
    ///
    /// # Errors
    ///
    /// [`NetError`]
    pub fn bind_for(
        group: Option<u32>,
        path: &Path,
        mode: u32,
        backlog: u32,
    ) -> Result<UnixSocket, NetError> {
        // The final name must fit, or no client could connect to it.
        SocketAddrUnix::new(path).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
        check_name(path)?;

        // A name that is no longer than the final one.
        let temporary = path.with_file_name(format!(".{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let address =
            SocketAddrUnix::new(&temporary).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)
            .map_err(NetError::os("make a socket for", path))?;
        bind(&socket, &address).map_err(NetError::os("bind a socket for", path))?;

        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        // The group before the mode, so that no other group ever has what the mode gives it.
        let prepared = group
            .map_or(Ok(()), |group| chown(&temporary, None, Some(group)))
            .map_err(NetError::os("set the group of", path))
            .and_then(|()| {
                fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))
                    .map_err(NetError::os("set the mode of", path))
            })
            .and_then(|()| listen(&socket, backlog).map_err(NetError::os("listen on", path)))
            .and_then(|()| {
                let made = fs::symlink_metadata(&temporary);
                made.map_err(NetError::os("examine", path))
            })
            .and_then(|made| {
                fs::rename(&temporary, path).map_err(NetError::os("name the socket", path))?;
                Ok((made.dev(), made.ino()))
            });
        let identity = prepared.inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        Ok(UnixSocket {
            socket,
            path: path.to_owned(),
            identity: Some(identity),
        })
    }

    /// Takes a listening socket that somebody else has made, whose name stays theirs (DM-204), with room for
    /// `backlog` connections that nobody has accepted yet.
    pub(super) fn adopt(listener: UnixListener, backlog: u32) -> io::Result<UnixSocket> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let path = address.as_pathname().unwrap_or(Path::new("")).to_owned();
        let socket = OwnedFd::from(listener);
        listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(UnixSocket {
            socket,
            path,
            identity: None,
        })
    }

    /// The next connection, non-blocking and close-on-exec, or `None` if nobody waits.
    ///
    /// # Errors
    ///
    /// As those of [`Listener::accept`](super::Listener::accept).
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        Ok(accept(&self.socket)?.map(UnixStream::from))
    }

    /// The name of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the name out of the file system, so that nobody can connect any more; those who have keep
    /// their place.
    pub fn unlink(&self) {
        let Ok(found) = fs::symlink_metadata(&self.path) else {
            return;
        };
        if Some((found.dev(), found.ino())) == self.identity {
            // If it stays, the next daemon finds that nobody answers and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// Finds out whether the name may be taken: it is free, or a socket that nobody listens on.
fn check_name(path: &Path) -> Result<(), NetError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NetError::os("examine", path)(error)),
    };
    if !found.file_type().is_socket() {
        return Err(NetError::NotASocket(path.to_owned()));
    }
    let address = SocketAddrUnix::new(path).map_err(|_| NetError::PathTooLong(path.to_owned()))?;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)
        .map_err(NetError::os("make a socket for", path))?;
    match connect(&probe, &address) {
        // Accepted, or the listener's queue is full: somebody is there.
        Ok(()) | Err(Errno::AGAIN) => Err(NetError::InUse(path.to_owned())),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Err(error) => Err(NetError::os("find out who uses", path)(error)),
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

    /// Root may give a socket away; to others only a group of their own.
    #[test]
    fn a_socket_belongs_to_its_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let own = fs::metadata(dir.path()).unwrap().gid();
        let is_root = rustix::process::geteuid().is_root();
        let group = if is_root { 12_345 } else { own };
        let _socket = UnixSocket::bind_for(Some(group), &path, 0o660, 1).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o777), (group, 0o660));
    }

    #[test]
    fn a_socket_has_its_mode_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o700, 0o777, 0o660] {
            let path = dir.path().join("sock");
            let socket = UnixSocket::bind(&path, mode, 1).unwrap();
            assert_eq!(mode_of(&path), mode);
            drop(socket);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_left_by_a_dead_daemon_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = UnixSocket::bind(&path, 0o700, 1).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        assert!(socket.accept().unwrap().is_some());
    }

    #[test]
    fn a_socket_that_answers_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let first = UnixSocket::bind(&path, 0o700, 4).unwrap();
        let second = UnixSocket::bind(&path, 0o700, 4);
        assert!(matches!(second, Err(NetError::InUse(_))));
        let _client = UnixStream::connect(&path).unwrap();
        assert!(first.accept().unwrap().is_some());
    }

    #[test]
    fn a_socket_whose_queue_is_full_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let _first = UnixSocket::bind(&path, 0o700, 0).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            assert!(waiting.len() < 16, "the queue is never full");
            let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None).unwrap();
            if connect(&client, &address) == Err(Errno::AGAIN) {
                break;
            }
            waiting.push(client);
        }
        let second = UnixSocket::bind(&path, 0o700, 4);
        assert!(matches!(second, Err(NetError::InUse(_))));
    }

    #[test]
    fn a_connection_does_not_block_and_is_not_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let socket = UnixSocket::bind(&path, 0o700, 1).unwrap();
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
        let listener = UnixListener::bind(&path).unwrap();
        // Room for one connection.
        listen(&listener, 0).unwrap();
        let _adopted = UnixSocket::adopt(listener, 3).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let clients: Vec<OwnedFd> = (0..4)
            .map(|_| {
                let client =
                    socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None).unwrap();
                connect(&client, &address).unwrap();
                client
            })
            .collect();
        drop(clients);
    }

    #[test]
    fn what_is_not_a_socket_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        fs::write(&path, "precious").unwrap();
        let refused = UnixSocket::bind(&path, 0o700, 1);
        assert!(matches!(refused, Err(NetError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_successors_name_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let first = UnixSocket::bind(&path, 0o700, 1).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = UnixSocket::bind(&path, 0o700, 1).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused_with_a_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x".repeat(200));
        let refused = UnixSocket::bind(&path, 0o700, 1).unwrap_err();
        assert!(matches!(refused, NetError::PathTooLong(_)), "{refused}");
    }
}
