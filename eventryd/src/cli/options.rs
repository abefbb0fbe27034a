//! The options: libvirtd's, and some of our own.

use super::passwd::PasswdArgs;
use crate::config::{ConfigFormat, MAX_IDLE_TIMEOUT_SECS, Origin, SettingValue};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

/// A libvirt endpoint that needs nothing installed: virsh and other libvirt clients connect to its sockets
/// and find an in-memory hypervisor, the same as libvirt's own test:///default.
///
/// It stays in the foreground and logs to standard error, unless it is told otherwise. SIGINT, SIGQUIT and
/// SIGTERM stop it in order: the sockets go, clients read their last answers, at most 5 seconds; a second
/// signal stops it at once. SIGHUP has it read its configuration again.
#[derive(Parser, Debug)]
#[command(
    name = "eventryd",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  eventryd                          serve in the default directory; prints the virsh line to try
  eventryd --run-dir /tmp/ci        serve in a directory of your choice
  eventryd --run-dir /run/libvirt --prefix libvirt
                                    stand in for libvirtd: `virsh -c test+unix:///default` finds it
  eventryd -f libvirtd.conf --check-config
                                    say what is wrong with a file, and what has no effect here
  eventryd --print-sample > eventryd.conf
                                    begin a file of your own: every setting, in comments
  eventryd passwd fred              let fred log in where SASL is asked for

Without --config it reads eventryd.toml or eventryd.conf in /etc/eventry, or of a user in
$XDG_CONFIG_HOME/eventry, if there is one. LIBVIRT_DEBUG, LIBVIRT_LOG_FILTERS and
LIBVIRT_LOG_OUTPUTS beat the file, options beat both.

Exit status: 0 after an orderly stop; 1 a wrong option or configuration, or another eventryd serves
the directory; 2 the directory cannot be used; 3 event loop; 4 signals; 6 a socket cannot be made;
7 clients could not be authenticated as configured; 11 driver."
)]
pub(super) struct Options {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// Configuration file, in the syntax of libvirtd.conf, or in TOML if its name ends in .toml
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Syntax of the configuration file, whatever its name
    #[arg(long, value_name = "FORMAT", requires = "config")]
    pub(super) config_format: Option<FormatArg>,

    /// Say everything that is wrong with the configuration, or that nothing is, and end
    #[arg(long)]
    pub(super) check_config: bool,

    /// Print every setting with its value and where that came from, and end
    #[arg(long)]
    pub(super) print_config: bool,

    /// Print a configuration file with every setting in a comment, and end
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "libvirt")]
    pub(super) print_sample: Option<FormatArg>,

    /// Serve in the background, in a session of its own; end when it serves or has failed
    #[arg(short, long)]
    pub(super) daemon: bool,

    /// File for the number of the process, locked while it runs
    #[arg(short, long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// End after so many seconds without a client; 0: never
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_IDLE_TIMEOUT_SECS)))]
    timeout: Option<u32>,

    /// Accepted for libvirtd's sake: listen_tcp and listen_tls decide alone
    #[arg(short, long)]
    pub(super) listen: bool,

    /// Directory of the sockets. Default: /run/eventry for root, $XDG_RUNTIME_DIR/eventry for a user, else
    /// a private directory eventry-UID below the temporary directory
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// What the names of the sockets begin with: NAME-sock and NAME-sock-ro. Default: eventry
    #[arg(long, value_name = "NAME", value_parser = parse_prefix)]
    prefix: Option<String>,

    /// Listen on plain TCP as well; `:PORT` for all addresses, port 0 for any that is free. Nothing is
    /// encrypted and nobody is asked who he is: for this machine, or networks you trust
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_host_port)]
    listen_tcp: Option<HostPort>,

    /// Log more: -v each connection and call, -vv everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Log warnings and errors only
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// This is the process in the background: its standard output goes to the one that started it
    #[arg(long, hide = true)]
    pub(super) in_background: bool,
}

/// What to do other than serve.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Passwd(PasswdArgs),
}

/// The syntax of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// That of libvirtd.conf
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
    /// The settings that options stand for. Relative paths are taken from `directory`.
    ///
    /// # Errors
    ///
    /// A message if a path is not UTF-8, as clients have to be told it in a URI.
    pub(super) fn settings(
        &self,
        directory: &Path,
    ) -> Result<Vec<(&'static str, SettingValue, Origin)>, String> {
        let mut settings = Vec::new();
        let mut set = |name, value, option| settings.push((name, value, Origin::Option(option)));
        let text = |path: &Path| {
            let path = directory.join(path);
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

    /// Whether this process only starts the one that serves.
    pub(super) fn is_launcher(&self) -> bool {
        self.daemon && !self.in_background
    }

    /// Whether everything is to be logged.
    pub(super) fn is_trace(&self) -> bool {
        self.verbose > 1
    }
}

/// Where to listen on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort {
    host: Option<String>,
    port: String,
}

/// Takes `host:port` apart; a number of IPv6 stands in brackets.
fn parse_host_port(text: &str) -> Result<HostPort, String> {
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
    Ok(HostPort {
        host: (!host.is_empty()).then(|| host.to_owned()),
        port: port.to_owned(),
    })
}

/// A prefix that is part of a file name, not a path.
fn parse_prefix(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') || text.contains('\0') {
        return Err("a prefix is part of a file name: not empty and without a slash".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

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
        let settings = options.settings(Path::new("/here")).unwrap();
        let told: Vec<String> = settings
            .iter()
            .map(|(name, value, origin)| format!("{name} = {value} by {origin}"))
            .collect();
        assert_eq!(
            told,
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
        ] {
            let parsed = Options::try_parse_from(["eventryd", "--timeout", seconds]);
            assert_eq!(parsed.is_ok(), fits, "{seconds}");
        }
    }

    #[test]
    fn relative_paths_are_resolved_in_the_working_directory() {
        let options = Options::try_parse_from(["eventryd", "--run-dir", "run"]).unwrap();
        let settings = options.settings(Path::new("/here")).unwrap();
        assert_eq!(settings[0].1, SettingValue::Text("/here/run".to_owned()));
        let latin = OsStr::from_bytes(b"/caf\xe9");
        assert!(options.settings(Path::new(latin)).is_err());
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
