//! What whoever starts the daemon reads.

use crate::net::{Address, TransportKind};
use crate::server::{Config, Ready};
use crate::session::Access;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Logs what the daemon listens on.
pub(super) fn log(ready: &Ready) {
    for endpoint in &ready.endpoints {
        let access = access(endpoint.access);
        tracing::info!("listening on {} ({access})", endpoint.address);
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "read-write",
        Access::ReadOnly => "read-only",
    }
}

/// Says what the daemon listens on, and what to try.
pub(super) fn announce(ready: &Ready) {
    let mut text = format!("eventryd {} listens on\n", env!("CARGO_PKG_VERSION"));
    for endpoint in &ready.endpoints {
        let access = access(endpoint.access);
        let _ = match &endpoint.address {
            Address::Unix(path) => writeln!(text, "  {}  ({access})", path.display()),
            Address::Tcp(address) if endpoint.transport == TransportKind::Tls => {
                writeln!(text, "  {address}  ({access}, TLS)")
            }
            Address::Tcp(address) => writeln!(text, "  {address}  ({access}, TCP)"),
        };
    }
    text.push_str("Try:\n");
    for (index, endpoint) in ready.endpoints.iter().enumerate() {
        let uri = match &endpoint.address {
            Address::Unix(path) if index == 0 => {
                format!("test+unix:///default?socket={}", uri_path(path))
            }
            Address::Unix(_) => continue,
            Address::Tcp(address) => {
                let tls = endpoint.transport == TransportKind::Tls;
                let scheme = if tls { "test+tls" } else { "test+tcp" };
                format!("{scheme}://{}/default", reachable(*address))
            }
        };
        let _ = writeln!(text, "  virsh -c '{uri}' list --all");
    }
    // Whoever started the daemon may have closed its standard output; it serves all the same.
    let mut output = io::stdout().lock();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

/// What a daemon with a configuration that is right would listen on.
pub(super) fn listeners(config: &Config) -> String {
    let mut text = "the configuration is right; with it eventryd listens on\n".to_owned();
    let unix = [
        (config.socket_path(), config.rw_mode),
        (config.read_only_socket_path(), config.ro_mode),
    ];
    for (path, mode) in unix {
        let _ = writeln!(text, "  {}  (mode {mode:04o})", path.display());
    }
    let tcp = config.tcp.as_ref().map(|it| (&it.address, &it.port, "TCP"));
    let tls = config.tls.as_ref().map(|it| (&it.address, &it.port, "TLS"));
    for (address, port, kind) in tcp.into_iter().chain(tls) {
        let address = address.as_deref().unwrap_or("all addresses");
        let _ = writeln!(text, "  {address}, port {port}  ({kind})");
    }
    text
}

/// An address to connect to on this machine: all addresses are none to connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A path as part of a URI, with everything escaped that might mean something there or to a shell.
fn uri_path(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_in_the_printed_uri() {
        assert_eq!(uri_path(Path::new("/run/a b&c'd")), "/run/a%20b%26c%27d");
    }
}
