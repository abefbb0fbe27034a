//! Listening TCP sockets.

use super::NetError;
use super::accept::{SOCKET_FLAGS, accept};
use dns_lookup::{AddrInfoHints, LookupErrorKind, getaddrinfo};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket_with};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A listening TCP socket.
#[derive(Debug)]
pub struct TcpListener {
    socket: OwnedFd,
    address: SocketAddr,
}

/// The sockets of one service, and the addresses that were unavailable.
///
/// ```
/// use eventryd::net::BoundSockets;
/// use std::net::TcpStream;
///
/// let bound = BoundSockets::bind(Some("127.0.0.1"), "0", 16)?;
/// let socket = &bound.sockets[0];
/// assert!(socket.accept()?.is_none());
/// let _client = TcpStream::connect(socket.address())?;
/// assert!(socket.accept()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BoundSockets {
    /// At least one socket.
    pub sockets: Vec<TcpListener>,
    /// Addresses that are in use or not local, with the error of `bind`.
    pub skipped: Vec<(SocketAddr, io::Error)>,
}

impl BoundSockets {
    /// Binds and listens on every address of `host` and `port`, with a queue of `backlog`
    /// connections. Without a host, these are all addresses of the machine, with one socket for
    /// IPv6 and one for IPv4. The port is a number or a service name; 0 lets the kernel choose one
    /// (DM-301, DM-303).
    ///
    /// # Errors
    ///
    /// [`NetError::Resolve`] if the host cannot be resolved, [`NetError::UnknownPort`] if the port
    /// cannot. [`NetError::Listen`] if no address is available, or if one fails for another reason
    /// than being in use or not local.
    pub fn bind(host: Option<&str>, port: &str, backlog: u32) -> Result<BoundSockets, NetError> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let name = || format!("{}:{port}", host.unwrap_or("*"));
        let mut bound = BoundSockets {
            sockets: Vec::new(),
            skipped: Vec::new(),
        };
        for address in resolve(host, port)? {
            match TcpListener::bind(address, backlog) {
                Ok(socket) => bound.sockets.push(socket),
                // The kernel lacks the family, usually IPv6, so no client can use this address.
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

    /// Checks that the host and the port can be resolved, and that the kernel has the family of one
    /// of the addresses, without binding a socket.
    ///
    /// ```
    /// use eventryd::net::BoundSockets;
    ///
    /// assert!(BoundSockets::check(Some("::1"), "16509").is_ok());
    /// assert!(BoundSockets::check(Some("127.0.0.1"), "65536").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// All errors of [`bind`](BoundSockets::bind), except those of binding. The host is checked with an unknown port too.
    pub fn check(host: Option<&str>, port: &str) -> Result<(), Vec<NetError>> {
        let is_unsupported = |address: &SocketAddr| {
            let made = socket_with(family(address), SocketType::STREAM, SOCKET_FLAGS, None);
            made.err() == Some(Errno::AFNOSUPPORT)
        };
        let mut errors = Vec::new();
        let resolved = match resolve(host, port) {
            Err(error @ NetError::UnknownPort(_)) => {
                errors.push(error);
                resolve(host, "0")
            }
            resolved => resolved,
        };
        match resolved {
            Ok(addresses) if addresses.iter().all(is_unsupported) => {
                errors.push(NetError::Listen {
                    address: format!("{}:{port}", host.unwrap_or("*")),
                    source: Errno::AFNOSUPPORT.into(),
                });
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Returns `true` if two services of one host with these ports would need one address. Port 0 is a free one, and a
    /// port that cannot be resolved is that of no service. Names of hosts are not looked up.
    ///
    /// ```
    /// use eventryd::net::BoundSockets;
    ///
    /// assert!(BoundSockets::is_same_port(["16514", "016514"]));
    /// assert!(!BoundSockets::is_same_port(["16509", "16514"]));
    /// assert!(!BoundSockets::is_same_port(["0", "0"]));
    /// ```
    #[must_use]
    pub fn is_same_port(ports: [&str; 2]) -> bool {
        let number = |port| Some(resolve(None, port).ok()?.first()?.port());
        let [first, second] = ports.map(number);
        first.is_some_and(|number| number != 0) && first == second
    }
}

fn family(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

impl TcpListener {
    fn bind(address: SocketAddr, backlog: i32) -> Result<TcpListener, Errno> {
        let socket = socket_with(family(&address), SocketType::STREAM, SOCKET_FLAGS, None)?;
        set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            // IPv4 has its own socket.
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        listen(&socket, backlog)?;
        // The kernel chooses the port if it is 0.
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(TcpListener { socket, address })
    }

    /// Takes over a listening socket created elsewhere, with a queue of `backlog` connections.
    pub(super) fn from_std(
        listener: std::net::TcpListener,
        backlog: u32,
    ) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let socket = OwnedFd::from(listener);
        listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener { socket, address })
    }

    /// Accepts the next connection, non-blocking, close-on-exec and with `TCP_NODELAY` (DM-304);
    /// `None` if the queue is empty.
    ///
    /// # Errors
    ///
    /// As for [`Listener::accept`](super::Listener::accept).
    pub fn accept(&self) -> io::Result<Option<TcpStream>> {
        let Some(connection) = accept(&self.socket)? else {
            return Ok(None);
        };
        // This fails if the peer has already disconnected; the first read reports that.
        let _ = set_tcp_nodelay(&connection, true);
        Ok(Some(connection.into()))
    }

    /// Returns the bound address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Resolves a host and a port to addresses without duplicates.
///
/// `AI_ADDRCONFIG` leaves out a family that the machine has on its loopback interface only. A
/// numeric address is resolved without it, and so is a name that has no address otherwise, such as
/// `localhost` on a machine without a network.
fn resolve(host: Option<&str>, port: &str) -> Result<Vec<SocketAddr>, NetError> {
    check_port(port)?;
    let Some(name) = host else {
        return look_up(None, port, libc::AI_PASSIVE);
    };
    // The last attempt follows a failure of the name server as well: /etc/hosts may have an answer
    // of the other family.
    [libc::AI_NUMERICHOST, libc::AI_ADDRCONFIG]
        .into_iter()
        .map(|flag| look_up(Some(name), port, libc::AI_PASSIVE | flag))
        .find(|result| !matches!(result, Err(NetError::Resolve { .. })))
        .unwrap_or_else(|| look_up(Some(name), port, libc::AI_PASSIVE))
}

/// Rejects a port number that is out of range, which `getaddrinfo` would reduce modulo 65,536. As for `strtoul`, a
/// number may follow white space.
fn check_port(port: &str) -> Result<(), NetError> {
    let number = port.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && number.parse::<u16>().is_err() {
        return Err(NetError::UnknownPort(port.to_owned()));
    }
    Ok(())
}

fn look_up(host: Option<&str>, port: &str, flags: i32) -> Result<Vec<SocketAddr>, NetError> {
    let hints = AddrInfoHints {
        flags,
        socktype: libc::SOCK_STREAM,
        ..AddrInfoHints::default()
    };
    let failed = |source: io::Error| NetError::Resolve {
        host: host.unwrap_or("*").to_owned(),
        source,
    };
    let found = getaddrinfo(host, Some(port), Some(hints)).map_err(|error| match error.kind() {
        LookupErrorKind::Service => NetError::UnknownPort(port.to_owned()),
        _ => failed(error.into()),
    })?;
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

    fn local(port: &str) -> Result<BoundSockets, NetError> {
        BoundSockets::bind(Some("127.0.0.1"), port, 4)
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
    fn bind_without_host_makes_a_socket_per_family() {
        let bound = BoundSockets::bind(None, "0", 4).unwrap();
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
    fn address_in_use_is_skipped_and_reported() {
        let first = BoundSockets::bind(None, "0", 4).unwrap();
        let taken = first
            .sockets
            .iter()
            .find(|socket| socket.address().is_ipv4());
        let port = taken.unwrap().address().port().to_string();
        match BoundSockets::bind(None, &port, 4) {
            Ok(second) => {
                assert!(second.skipped.iter().any(|(address, _)| address.is_ipv4()));
                assert!(
                    second
                        .sockets
                        .iter()
                        .all(|socket| socket.address().is_ipv6())
                );
            }
            // A machine without IPv6 has no address left.
            Err(error) => assert!(error.to_string().contains(&port), "{error}"),
        }
    }

    #[test]
    fn bind_error_names_address_and_cause() {
        let first = local("0").unwrap();
        let port = first.sockets[0].address().port().to_string();
        let text = local(&port).unwrap_err().to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
        assert!(text.contains("in use"), "{text}");
        // RFC 5737 reserves this address for documentation; no machine has it.
        let text = BoundSockets::bind(Some("192.0.2.1"), "0", 4).unwrap_err();
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

    fn resolved(host: &str) -> Vec<String> {
        let found = resolve(Some(host), "7").unwrap();
        found.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn numeric_address_is_resolved_whatever_the_machine_has() {
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:7"),
            ("0.0.0.0", "0.0.0.0:7"),
            ("::1", "[::1]:7"),
            ("::", "[::]:7"),
            // An address for documentation (RFC 3849); the machine need not have the family.
            ("2001:db8::1", "[2001:db8::1]:7"),
            ("192.0.2.1", "192.0.2.1:7"),
            // The loopback interface has index 1.
            ("fe80::1%lo", "[fe80::1%1]:7"),
        ] {
            assert_eq!(resolved(host), [address], "{host}");
        }
    }

    #[test]
    fn host_without_an_address_is_named_in_the_error() {
        // libvirtd refuses brackets and an empty host as well.
        for host in [
            "",
            "[::1]",
            "fe80::1%no-such-interface",
            "127.0.0.256.invalid",
        ] {
            let text = resolve(Some(host), "7").unwrap_err().to_string();
            assert!(text.contains(&format!("resolve {host:?}")), "{text}");
        }
    }

    #[test]
    fn port_out_of_range_is_refused_not_reduced() {
        // tftp is a service of UDP only.
        for port in ["65536", "70000", "-1", "99999999999999999999", "tftp"] {
            let errors = BoundSockets::check(Some("127.0.0.1"), port).unwrap_err();
            assert!(
                matches!(&errors[..], [NetError::UnknownPort(named)] if named == port),
                "{errors:?}"
            );
        }
        for port in ["0", "65535", "00080", "domain", ""] {
            BoundSockets::check(Some("127.0.0.1"), port).unwrap();
        }
    }
}
