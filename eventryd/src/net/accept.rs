//! Accepting connections on a listening socket of either family.

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::io;
use std::os::fd::OwnedFd;

/// Flags of every socket created here (DM-206).
pub(super) const SOCKET_FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Accepts the next connection of a listening socket of either family; `None` if the queue is
/// empty.
pub(super) fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    loop {
        match accept_with(listener, SOCKET_FLAGS) {
            Ok(connection) => return Ok(Some(connection)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) if is_connection_error(error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns `true` if the error belongs to the connection at the head of the queue only. On Linux,
/// `accept` returns pending network errors of the new connection.
fn is_connection_error(error: Errno) -> bool {
    matches!(
        error,
        Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NONET
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::PERM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_resources_is_not_a_connection_error() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(!is_connection_error(errno), "{errno}");
        }
        assert!(is_connection_error(Errno::CONNABORTED));
    }
}
