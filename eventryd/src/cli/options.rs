//! Command-line options: those of libvirtd, and eventryd's own.

use super::passwd::PasswdArgs;
use crate::config::{ConfigFormat, MAX_IDLE_TIMEOUT_SECS, Origin, SettingValue, WorkingDir};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

/// A daemon that speaks libvirt's protocol and needs no libvirt. virsh and other libvirt clients
/// connect to its sockets and find an in-memory hypervisor with the host and the domain of
/// libvirt's own test:///default.
///
/// By default it runs in the foreground and logs to standard error. SIGINT, SIGQUIT and SIGTERM
/// shut it down: it closes its sockets and waits at most 5 seconds until clients have read their
/// last replies. A second signal stops it at once. SIGHUP makes it read its configuration again.
#[derive(Parser, Debug)]
#[command(
    name = "eventryd",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  eventryd                          run in the default directory; prints a virsh command to try
  eventryd --run-dir /tmp/ci        run in another directory
  eventryd --run-dir /run/libvirt --prefix libvirt
                                    replace libvirtd: `virsh -c test+unix:///default` finds it
  eventryd -f libvirtd.conf --check-config
                                    report the errors of a file, and settings without effect
  eventryd --print-sample > eventryd.conf
                                    create a sample file with every setting commented out
  eventryd passwd fred              set the password of fred for SASL

Without --config it reads eventryd.toml or eventryd.conf, if there is one, in /etc/eventry or, for
users other than root, in $XDG_CONFIG_HOME/eventry or ~/.config/eventry. LIBVIRT_DEBUG,
LIBVIRT_LOG_FILTERS and LIBVIRT_LOG_OUTPUTS override the file; options override both.

Exit status: 0 shutdown; 1 invalid option or configuration, or another eventryd uses the directory;
2 the directory cannot be used; 3 event loop; 4 signals; 6 a socket cannot be created;
7 authentication cannot work as configured; 11 driver."
)]
pub(super) struct Options {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// Configuration file, in the syntax of libvirtd.conf or, if its name ends in .toml, in TOML
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Syntax of the configuration file, regardless of its name
    #[arg(long, value_name = "FORMAT", requires = "config")]
    pub(super) config_format: Option<FormatArg>,

    /// Check the configuration, report all errors, and exit
    #[arg(long)]
    pub(super) check_config: bool,

    /// Print every setting with its value and its origin, and exit
    #[arg(long)]
    pub(super) print_config: bool,

    /// Print a configuration file with every setting commented out, and exit
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "libvirt")]
    pub(super) print_sample: Option<FormatArg>,

    /// Run in the background, in a new session; the command returns when clients can connect
    #[arg(short, long)]
    pub(super) daemon: bool,

    /// File for the process ID, locked while the process runs
    #[arg(short, long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Exit after this many seconds without a client; 0: never
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_timeout)]
    timeout: Option<u32>,

    /// Accepted for compatibility with libvirtd; listen_tcp and listen_tls enable the network
    /// sockets
    #[arg(short, long)]
    pub(super) listen: bool,

    /// Directory of the sockets. Default: /run/eventry for root, $XDG_RUNTIME_DIR/eventry for other
    /// users, or a private directory eventry-UID in the temporary directory
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// Prefix of the names of the sockets, NAME-sock and NAME-sock-ro. Default: eventry
    #[arg(long, value_name = "NAME", value_parser = parse_prefix)]
    prefix: Option<String>,

    /// Listen on plain TCP too; `:PORT` for all addresses, port 0 for a free one. There is no
    /// encryption and no authentication: use it on this machine or in trusted networks only
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_host_port)]
    listen_tcp: Option<HostPort>,

    /// Log more: -v each connection and call, -vv everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Log warnings and errors only
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Marks the child of --daemon, whose standard output is a pipe to its parent
    #[arg(long, hide = true)]
    pub(super) in_background: bool,
}

/// Subcommand.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Passwd(PasswdArgs),
}

/// Syntax of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// Syntax of libvirtd.conf
    Libvirt,
    /// TOML
    Toml,
}

impl From<FormatArg> for ConfigFormat {
    fn from(format: FormatArg) -> ConfigFormat {
        match format {
            FormatArg::Libvirt => ConfigFormat::Libvirt,
            FormatArg::Toml => ConfigFormat::Toml,
        }
    }
}

impl Options {
    /// Returns the settings that the options set. Relative paths are resolved in `directory`.
    ///
    /// # Errors
    ///
    /// A message if a path cannot be resolved, or is not UTF-8, because a setting is UTF-8.
    pub(super) fn settings(
        &self,
        directory: &WorkingDir,
    ) -> Result<Vec<(&'static str, SettingValue, Origin)>, String> {
        let mut settings = Vec::new();
        let mut set = |name, value, option| settings.push((name, value, Origin::Option(option)));
        let text = |path: &Path| {
            let path = directory.resolve(path)?;
            let text = path
                .to_str()
                .map(|text| SettingValue::Text(text.to_owned()));
            text.ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
        };
        if let Some(path) = &self.run_dir {
            set("unix_sock_dir", text(path)?, "--run-dir");
        }
        if let Some(path) = &self.pid_file {
            set("eventry_pid_file", text(path)?, "--pid-file");
        }
        if let Some(prefix) = &self.prefix {
            set(
                "eventry_prefix",
                SettingValue::Text(prefix.clone()),
                "--prefix",
            );
        }
        if let Some(seconds) = self.timeout {
            let seconds = SettingValue::Integer(seconds.into());
            set("eventry_idle_timeout", seconds, "--timeout");
        }
        if let Some(HostPort { host, port }) = &self.listen_tcp {
            let none = SettingValue::Text("none".to_owned());
            set("listen_tcp", SettingValue::Integer(1), "--listen-tcp");
            set("tcp_port", SettingValue::Text(port.clone()), "--listen-tcp");
            set("auth_tcp", none, "--listen-tcp");
            if let Some(host) = host {
                set(
                    "listen_addr",
                    SettingValue::Text(host.clone()),
                    "--listen-tcp",
                );
            }
        }
        match (self.quiet, self.verbose) {
            (true, _) => set("log_level", SettingValue::Integer(3), "--quiet"),
            (false, 0) => {}
            (false, _) => set("log_level", SettingValue::Integer(1), "--verbose"),
        }
        Ok(settings)
    }

    /// Returns `true` if this process only starts the daemon as a child.
    pub(super) fn is_launcher(&self) -> bool {
        self.daemon && !self.in_background
    }

    /// Returns `true` if everything is logged (`-vv`).
    pub(super) fn is_trace(&self) -> bool {
        self.verbose > 1
    }
}

/// Parses an idle timeout in seconds.
fn parse_timeout(text: &str) -> Result<u32, String> {
    let seconds = text.parse().ok();
    seconds
        .filter(|seconds| *seconds <= MAX_IDLE_TIMEOUT_SECS)
        .ok_or_else(|| {
            format!("expected a number of seconds from 0 to {MAX_IDLE_TIMEOUT_SECS}, for example 30; 0: never")
        })
}

/// Address to listen on, for `--listen-tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort {
    host: Option<String>,
    port: String,
}

/// Parses `HOST:PORT`, with an IPv6 address in brackets.
fn parse_host_port(text: &str) -> Result<HostPort, String> {
    let example = "expected ADDRESS:PORT, for example 127.0.0.1:16509, [::1]:16509 or :16509";
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
    Ok(HostPort {
        host: (!host.is_empty()).then(|| host.to_owned()),
        port: port.to_owned(),
    })
}

/// Parses a prefix, which must be part of a file name and not a path.
fn parse_prefix(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') || text.contains('\0') {
        return Err(
            "a prefix must be part of a file name: not empty and without a slash".to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn working_dir(path: &Path) -> WorkingDir {
        WorkingDir::new(Ok(path.to_owned()))
    }

    #[test]
    fn option_definitions_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn options_of_libvirtd_are_accepted() {
        let line = "eventryd -d -v -l -t 30 -f a.conf -p /run/x.pid";
        let options = Options::try_parse_from(line.split(' ')).unwrap();
        assert!(options.daemon && options.listen);
        assert_eq!(options.config.as_deref(), Some(Path::new("a.conf")));
        let settings = options.settings(&working_dir(Path::new("/here"))).unwrap();
        let shown: Vec<String> = settings
            .iter()
            .map(|(name, value, origin)| format!("{name} = {value} by {origin}"))
            .collect();
        assert_eq!(
            shown,
            [
                "eventry_pid_file = \"/run/x.pid\" by option --pid-file",
                "eventry_idle_timeout = 30 by option --timeout",
                "log_level = 1 by option --verbose",
            ]
        );
    }

    #[test]
    fn timeout_out_of_range_is_rejected() {
        for (seconds, fits) in [
            ("0", true),
            ("2147483", true),
            ("2147484", false),
            ("-1", false),
            ("x", false),
            ("", false),
            ("5m", false),
        ] {
            let parsed = Options::try_parse_from(["eventryd", "--timeout", seconds]);
            let expected = "expected a number of seconds from 0 to 2147483, for example 30";
            match parsed {
                Ok(_) => assert!(fits, "{seconds}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!fits && text.contains(expected), "{seconds}: {text}");
                }
            }
        }
    }

    #[test]
    fn relative_paths_are_resolved_in_the_working_directory() {
        let options = Options::try_parse_from(["eventryd", "--run-dir", "run"]).unwrap();
        let settings = options.settings(&working_dir(Path::new("/here"))).unwrap();
        assert_eq!(settings[0].1, SettingValue::Text("/here/run".to_owned()));
        let latin = OsStr::from_bytes(b"/caf\xe9");
        assert!(options.settings(&working_dir(Path::new(latin))).is_err());
    }

    #[test]
    fn listen_address_is_split_at_its_port() {
        let parts = |text| {
            let parsed = parse_host_port(text).ok();
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
    fn prefix_with_a_slash_is_rejected() {
        assert!(parse_prefix("a/b").is_err());
        assert!(parse_prefix("").is_err());
        assert_eq!(parse_prefix("libvirt").as_deref(), Ok("libvirt"));
    }
}
