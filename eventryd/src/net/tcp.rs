//! Listening TCP sockets.

use super::NetError;
use super::listener::{FLAGS, accept};
use dns_lookup::{AddrInfoHints, getaddrinfo};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket_with};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A listening TCP socket.
#[derive(Debug)]
pub struct TcpSocket {
    socket: OwnedFd,
    address: SocketAddr,
}

/// The sockets of one service, and the addresses it could not have.
///
/// ```
/// use eventryd::net::Bound;
/// use std::net::TcpStream;
///
/// let bound = Bound::new(Some("127.0.0.1"), "0", 16)?;
/// let socket = &bound.sockets[0];
/// assert!(socket.accept()?.is_none());
/// let _client = TcpStream::connect(socket.address())?;
/// assert!(socket.accept()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bound {
    /// At least one.
    pub sockets: Vec<TcpSocket>,
    /// Addresses that are taken, or not of this machine, with what the operating system said.
    pub skipped: Vec<(SocketAddr, io::Error)>,
}

impl Bound {
    /// Binds and listens at every address that `host` and `port` stand for, with room for `backlog`
    /// connections that nobody has accepted yet. Without a host these are all addresses of the machine,
    /// IPv6 and IPv4 by a socket each; the port is a number or the name of a service, and 0 chooses one
    /// (DM-301, DM-303).
    ///
    /// # Errors
    ///
    /// [`NetError::Resolve`] if the names stand for nothing; [`NetError::Listen`] if no address could be
    /// had, or one was refused for any other reason than that it is taken or not there.
    pub fn new(host: Option<&str>, port: &str, backlog: u32) -> Result<Bound, NetError> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let name = || format!("{}:{port}", host.unwrap_or("*"));
        let mut bound = Bound {
            sockets: Vec::new(),
            skipped: Vec::new(),
        };
        for address in resolve(host, port)? {
            match TcpSocket::bind(address, backlog) {
                Ok(socket) => bound.sockets.push(socket),
                // The kernel has no IPv6, for example: nobody can come that way.
                Err(Errno::AFNOSUPPORT) => {}
                Err(error @ (Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)) => {
                    bound.skipped.push((address, error.into()));
                }
                Err(source) => {
                    let address = address.to_string();
                    let source = source.into();
                    return Err(NetError::Listen { address, source });
                }
            }
        }
        if bound.sockets.is_empty() {
            let skipped = bound.skipped.pop();
            return Err(NetError::Listen {
                address: name(),
                source: skipped.map_or_else(|| Errno::AFNOSUPPORT.into(), |(_, source)| source),
            });
        }
        Ok(bound)
    }
}

impl TcpSocket {
    fn bind(address: SocketAddr, backlog: i32) -> Result<TcpSocket, Errno> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            // IPv4 has a socket of its own.
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        listen(&socket, backlog)?;
        // The port may have been chosen for us.
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(TcpSocket { socket, address })
    }

    /// Takes a listening socket that somebody else has made, with room for `backlog` connections that nobody
    /// has accepted yet.
    pub(super) fn adopt(listener: TcpListener, backlog: u32) -> io::Result<TcpSocket> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let socket = OwnedFd::from(listener);
        listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpSocket { socket, address })
    }

    /// The next connection, non-blocking, close-on-exec and without the delay that collects small messages
    /// (DM-304), or `None` if nobody waits.
    ///
    /// # Errors
    ///
    /// As those of [`Listener::accept`](super::Listener::accept).
    pub fn accept(&self) -> io::Result<Option<TcpStream>> {
        let Some(connection) = accept(&self.socket)? else {
            return Ok(None);
        };
        // A peer that has gone already refuses it; that is noticed when it is read.
        let _ = set_tcp_nodelay(&connection, true);
        Ok(Some(connection.into()))
    }

    /// The address it is bound to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The addresses that a host and a port stand for, each once.
fn resolve(host: Option<&str>, port: &str) -> Result<Vec<SocketAddr>, NetError> {
    let flags = match host {
        None => libc::AI_PASSIVE,
        Some(_) => libc::AI_PASSIVE | libc::AI_ADDRCONFIG,
    };
    let hints = AddrInfoHints {
        flags,
        socktype: libc::SOCK_STREAM,
        ..AddrInfoHints::default()
    };
    let failed = |source: io::Error| NetError::Resolve {
        host: host.unwrap_or("*").to_owned(),
        port: port.to_owned(),
        source,
    };
    let found = getaddrinfo(host, Some(port), Some(hints));
    let found = found.map_err(|error| failed(error.into()))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        let address = address.map_err(failed)?.sockaddr;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};
    use rustix::net::sockopt::{ipv6_v6only, tcp_nodelay};

    fn local(port: &str) -> Result<Bound, NetError> {
        Bound::new(Some("127.0.0.1"), port, 4)
    }

    #[test]
    fn accepted_socket_is_nonblocking_cloexec_and_nodelay() {
        let bound = local("0").unwrap();
        let socket = &bound.sockets[0];
        let _client = TcpStream::connect(socket.address()).unwrap();
        let connection = socket.accept().unwrap().unwrap();
        for descriptor in [socket.as_fd(), connection.as_fd()] {
            assert!(fcntl_getfl(descriptor).unwrap().contains(OFlags::NONBLOCK));
            assert!(fcntl_getfd(descriptor).unwrap().contains(FdFlags::CLOEXEC));
        }
        assert!(tcp_nodelay(&connection).unwrap());
    }

    #[test]
    fn without_a_host_each_family_has_a_socket_of_its_own() {
        let bound = Bound::new(None, "0", 4).unwrap();
        let families: Vec<bool> = bound
            .sockets
            .iter()
            .map(|socket| {
                assert!(socket.address().ip().is_unspecified());
                assert_ne!(socket.address().port(), 0);
                let is_ipv6 = socket.address().is_ipv6();
                assert!(!is_ipv6 || ipv6_v6only(socket).unwrap());
                is_ipv6
            })
            .collect();
        assert!(families.contains(&false), "{families:?}");
        assert!(families.len() <= 2, "{families:?}");
    }

    #[test]
    fn an_address_that_is_taken_is_skipped_and_named() {
        let first = Bound::new(None, "0", 4).unwrap();
        let taken = first
            .sockets
            .iter()
            .find(|socket| socket.address().is_ipv4());
        let port = taken.unwrap().address().port().to_string();
        match Bound::new(None, &port, 4) {
            Ok(second) => {
                assert!(second.skipped.iter().any(|(address, _)| address.is_ipv4()));
                assert!(
                    second
                        .sockets
                        .iter()
                        .all(|socket| socket.address().is_ipv6())
                );
            }
            // A machine without IPv6 has nothing left.
            Err(error) => assert!(error.to_string().contains(&port), "{error}"),
        }
    }

    #[test]
    fn if_nothing_is_left_the_address_and_the_reason_are_told() {
        let first = local("0").unwrap();
        let port = first.sockets[0].address().port().to_string();
        let text = local(&port).unwrap_err().to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
        assert!(text.contains("in use"), "{text}");
        // Documentation addresses belong to nobody.
        let text = Bound::new(Some("192.0.2.1"), "0", 4).unwrap_err();
        assert!(text.to_string().contains("192.0.2.1"), "{text}");
    }

    #[test]
    fn service_names_are_resolved_and_unknown_ones_reported() {
        let text = local("no-such-service").unwrap_err().to_string();
        assert!(text.contains("no-such-service"), "{text}");
        assert!(matches!(
            resolve(Some("127.0.0.1"), "domain").as_deref(),
            Ok([address]) if address.port() == 53
        ));
    }
}
