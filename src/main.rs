//! `eventryd`: options, log and exit status around [`eventry::server::run`].

use clap::Parser;
use eventry::driver::{Driver, MemoryDriver};
use eventry::net::{Address, RunDir, default_run_dir};
use eventry::server::{Config, Ready, TcpService, run};
use eventry::session::{Access, Auth};
use std::convert::Infallible;
use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;

/// A libvirt endpoint that needs nothing installed: virsh and other libvirt clients connect to its Unix
/// sockets and find an in-memory hypervisor, the same as libvirt's own test:///default.
///
/// It stays in the foreground and logs to standard error. SIGINT, SIGQUIT and SIGTERM stop it in order: the
/// sockets go, clients read their last answers, at most 5 seconds; a second signal stops it at once.
#[derive(Parser, Debug)]
#[command(
    name = "eventryd",
    version,
    after_help = "\
Examples:
  eventryd                          serve in the default directory; prints the virsh line to try
  eventryd --run-dir /tmp/ci        serve in a directory of your choice
  eventryd --run-dir /run/libvirt --prefix libvirt
                                    stand in for libvirtd: `virsh -c test+unix:///default` finds it

Exit status: 0 after an orderly stop; 1 another eventryd serves the directory; 2 the directory
cannot be used, or wrong options; 3 event loop; 4 signals; 6 a socket cannot be made; 11 driver."
)]
struct Options {
    /// Directory of the sockets. Default: /run/eventry for root, $XDG_RUNTIME_DIR/eventry for a user, else
    /// a private directory eventry-UID below the temporary directory
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// What the names of the sockets begin with: NAME-sock and NAME-sock-ro
    #[arg(long, value_name = "NAME", default_value = "eventry", value_parser = file_name_part)]
    prefix: String,

    /// Listen on plain TCP as well; `:PORT` for all addresses, port 0 for any that is free. Nothing is
    /// encrypted and nobody is asked who he is: for this machine, or networks you trust
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = host_and_port)]
    listen_tcp: Option<HostAndPort>,

    /// Log more: -v each connection and call, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Log warnings and errors only
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let level = match (options.quiet, options.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();

    let mut config = Config::new(run_dir(options.run_dir));
    config.prefix = options.prefix;
    config.handle_signals = true;
    config.tcp = options.listen_tcp.map(|at| TcpService {
        address: at.host,
        port: at.port,
        auth: Auth::None,
    });
    let initialise_driver =
        || Ok::<_, Infallible>(Arc::new(MemoryDriver::new()) as Arc<dyn Driver>);
    match run(&config, initialise_driver, announce) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Shown whatever the log level: without it nobody would know why there is no daemon.
            let _ = writeln!(io::stderr(), "eventryd: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

/// Where the sockets go.
fn run_dir(chosen: Option<PathBuf>) -> RunDir {
    match chosen {
        // Clients need the path whatever their working directory is.
        Some(path) => RunDir::Chosen(std::path::absolute(&path).unwrap_or(path)),
        None => {
            let uid = rustix::process::geteuid().as_raw();
            let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
            default_run_dir(uid, runtime.as_ref().map(Path::new), &env::temp_dir())
        }
    }
}

/// Says what the daemon listens on, and what to try.
fn announce(ready: Ready) {
    let mut text = format!("eventryd {} listens on\n", env!("CARGO_PKG_VERSION"));
    for endpoint in &ready.endpoints {
        let access = match endpoint.access {
            Access::ReadWrite => "read-write",
            Access::ReadOnly => "read-only",
        };
        let _ = match &endpoint.address {
            Address::Unix(path) => writeln!(text, "  {}  ({access})", path.display()),
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
            Address::Tcp(address) => format!("test+tcp://{}/default", reachable(*address)),
        };
        let _ = writeln!(text, "  virsh -c '{uri}' list --all");
    }
    // Whoever started the daemon may have closed its standard output; it serves all the same.
    let mut output = io::stdout().lock();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
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

/// Where to listen on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostAndPort {
    host: Option<String>,
    port: String,
}

/// Takes `host:port` apart; a number of IPv6 stands in brackets.
fn host_and_port(text: &str) -> Result<HostAndPort, String> {
    let example = "say ADDRESS:PORT, for example 127.0.0.1:16509, [::1]:16509 or :16509";
    let (host, port) = text.rsplit_once(':').ok_or(example)?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match bracketed {
        Some(host) => host,
        None if host.contains([':', '[', ']']) => return Err(example.to_owned()),
        None => host,
    };
    if port.is_empty() {
        return Err(example.to_owned());
    }
    Ok(HostAndPort {
        host: (!host.is_empty()).then(|| host.to_owned()),
        port: port.to_owned(),
    })
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

/// A prefix that is part of a file name, not a path.
fn file_name_part(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') || text.contains('\0') {
        return Err("a prefix is part of a file name: not empty and without a slash".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn a_path_is_escaped_in_the_printed_uri() {
        assert_eq!(uri_path(Path::new("/run/a b&c'd")), "/run/a%20b%26c%27d");
    }

    #[test]
    fn an_address_to_listen_on_is_taken_apart_at_its_port() {
        let parts = |text| {
            let parsed = host_and_port(text).ok();
            parsed.map(|at| (at.host.unwrap_or_default(), at.port))
        };
        let expected = |host: &str, port: &str| Some((host.to_owned(), port.to_owned()));
        assert_eq!(parts("127.0.0.1:16509"), expected("127.0.0.1", "16509"));
        assert_eq!(parts("[::1]:0"), expected("::1", "0"));
        assert_eq!(parts(":libvirt"), expected("", "libvirt"));
        for wrong in ["16509", "::1", "[::1]", "host:", "[::1:80"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_prefix_with_a_slash_is_refused() {
        assert!(file_name_part("a/b").is_err());
        assert!(file_name_part("").is_err());
        assert_eq!(file_name_part("libvirt").as_deref(), Ok("libvirt"));
    }
}
