//! Output of the addresses that the daemon listens on.

use super::PRINT_TIMEOUT;
use crate::net::{ListenAddress, TransportKind};
use crate::output::{StandardStream, print_in_time};
use crate::server::{Config, Endpoint, Ready};
use crate::session::Access;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Logs the addresses that the daemon listens on.
pub(super) fn log(ready: &Ready) {
    for endpoint in &ready.endpoints {
        let access = access_name(endpoint.access);
        tracing::info!("listening on {} ({access})", endpoint.address);
    }
}

fn access_name(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "read-write",
        Access::ReadOnly => "read-only",
    }
}

/// Prints the addresses that the daemon listens on, and commands to try.
pub(super) fn print(ready: &Ready) {
    let text = announcement(&ready.endpoints);
    // A closed or full standard output is no error.
    print_in_time(StandardStream::Output, vec![text], PRINT_TIMEOUT);
}

fn announcement(endpoints: &[Endpoint]) -> String {
    let mut text = format!("eventryd {} listens on\n", env!("CARGO_PKG_VERSION"));
    for endpoint in endpoints {
        let access = access_name(endpoint.access);
        let _ = match &endpoint.address {
            ListenAddress::Unix(path) => writeln!(text, "  {}  ({access})", path.display()),
            ListenAddress::Tcp(address) if endpoint.transport == TransportKind::Tls => {
                writeln!(text, "  {address}  ({access}, TLS)")
            }
            ListenAddress::Tcp(address) => writeln!(text, "  {address}  ({access}, TCP)"),
        };
    }
    text.push_str("Try:\n");
    for (index, endpoint) in endpoints.iter().enumerate() {
        let uri = match &endpoint.address {
            ListenAddress::Unix(path) if index == 0 => {
                format!("test+unix:///default?socket={}", uri_path(path))
            }
            ListenAddress::Unix(_) => continue,
            ListenAddress::Tcp(address) => {
                let tls = endpoint.transport == TransportKind::Tls;
                let scheme = if tls { "test+tls" } else { "test+tcp" };
                format!("{scheme}://{}/default", connect_address(*address))
            }
        };
        let _ = writeln!(text, "  virsh -c '{uri}' list --all");
    }
    text
}

/// Returns the addresses of a valid configuration, for `--check-config`.
pub(super) fn configured_listeners(config: &Config) -> String {
    let mut text = "the configuration is valid; eventryd would listen on\n".to_owned();
    let unix = [
        (config.socket_path(), config.rw_mode),
        (config.read_only_socket_path(), config.ro_mode),
    ];
    for (path, mode) in unix {
        let _ = writeln!(text, "  {}  (mode {mode:04o})", path.display());
    }
    let tcp = config
        .tcp
        .as_ref()
        .map(|service| (&service.address, &service.port, "TCP"));
    let tls = config
        .tls
        .as_ref()
        .map(|service| (&service.address, &service.port, "TLS"));
    for (address, port, kind) in tcp.into_iter().chain(tls) {
        let address = address.as_deref().unwrap_or("all addresses");
        let _ = writeln!(text, "  {address}, port {port}  ({kind})");
    }
    text
}

/// Returns an address to connect to from this machine: the loopback address for an unspecified one.
fn connect_address(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Escapes a path for a URI, including characters with a meaning for a shell.
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
    fn uri_path_escapes_special_characters() {
        assert_eq!(uri_path(Path::new("/run/a b&c'd")), "/run/a%20b%26c%27d");
    }

    #[test]
    fn announcement_has_an_address_a_line_and_commands_to_try() {
        let unix = |path: &str, access| Endpoint {
            address: ListenAddress::Unix(path.into()),
            transport: TransportKind::Unix,
            access,
        };
        let network = |address: &str, transport| Endpoint {
            address: ListenAddress::Tcp(address.parse().unwrap()),
            transport,
            access: Access::ReadWrite,
        };
        let text = announcement(&[
            unix("/r/sock", Access::ReadWrite),
            unix("/r/sock-ro", Access::ReadOnly),
            network("0.0.0.0:1", TransportKind::Tcp),
            network("[::1]:2", TransportKind::Tls),
        ]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "  /r/sock  (read-write)",
                "  /r/sock-ro  (read-only)",
                "  0.0.0.0:1  (read-write, TCP)",
                "  [::1]:2  (read-write, TLS)",
                "Try:",
                "  virsh -c 'test+unix:///default?socket=/r/sock' list --all",
                "  virsh -c 'test+tcp://127.0.0.1:1/default' list --all",
                "  virsh -c 'test+tls://[::1]:2/default' list --all",
            ]
        );
    }
}
