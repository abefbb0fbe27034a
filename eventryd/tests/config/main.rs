//! The configuration of the daemon: files, options, environment and reload.

#![cfg(not(loom))]

mod check;
mod check_cases;
mod precedence;
mod round_trip;
mod wild;

use eventryd::config::{
    ConfigFile, ConfigFormat, Overrides, sample_file, setting_specs, settings_table,
};
use eventryd::net::RunDir;
use eventryd::server::Config;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use test_support::client::RawClient;
use test_support::daemon::{Daemon, eventryd};
use test_support::rpc::{AUTH_LIST, GET_HOSTNAME, message};
use test_support::timeout::{bounded, wait_until};

/// Runs the daemon, and waits for its end.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = eventryd();
    command.args(arguments).envs(variables.iter().copied());
    bounded("the end of eventryd", move || command.output().unwrap())
}

fn utf8(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs `--check-config` on a text; returns the exit status and standard error.
fn checked(name: &str, text: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, name, text);
    let output = run(&["--check-config", "-f", path.to_str().unwrap()], &[]);
    let stderr = utf8(&output.stderr).replace(&format!("{}/", dir.path().display()), "");
    (output.status.code(), stderr)
}

#[test]
fn check_config_tells_everything_that_is_wrong() {
    let (status, stderr) = checked(
        "a.conf",
        "max_client = 1\n\nlisten_tcp = 2; log_filters = \"x\"\n",
    );
    assert_eq!(status, Some(1));
    let expected = "\
eventryd: a.conf:1:1: unknown setting `max_client`; did you mean `max_clients`?
1 | max_client = 1
  | ^
eventryd: a.conf:3:14: `listen_tcp` must be 0 or 1
3 | listen_tcp = 2; log_filters = \"x\"
  |              ^
eventryd: a.conf:3:31: `log_filters`: filter `x` does not begin with a level from 1 to 4 and `:`
3 | listen_tcp = 2; log_filters = \"x\"
  |                               ^
";
    assert_eq!(stderr, expected);
}

#[test]
fn check_config_names_what_has_no_effect_and_is_content() {
    let text = "audit_level = 1\nmax_clients = 30\nsecurity_driver = \"none\"\nmax_clients = 40\n\
                tls_priority = '@LIBVIRT,SYSTEM'\n";
    let (status, stderr) = checked("a.conf", text);
    assert_eq!(status, Some(0), "{stderr}");
    let expected = "\
eventryd: warning: a.conf:1: `audit_level` has no effect: auditing is not implemented
eventryd: warning: a.conf:3: `security_driver` has no effect: eventryd does not have this setting; remove the line
eventryd: warning: a.conf:4: `max_clients` has no effect: line 2 sets it already; the first line applies, as in libvirt; remove one of them
eventryd: note: a.conf:5: `tls_priority`: the system policy @LIBVIRT,SYSTEM of GnuTLS is not read; NORMAL applies: TLS 1.2 \
and 1.3 with the algorithms of rustls
";
    assert_eq!(stderr, expected);
}

#[test]
fn check_config_says_where_the_daemon_would_listen() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("x");
    let run_dir = run_dir.display();
    let text = format!(
        "listen_tcp = 1; auth_tcp = 'none'; tcp_port = '7'; unix_sock_dir = '{run_dir}'; unix_sock_rw_perms = '0770'"
    );
    let path = file(&dir, "a.conf", &text);
    let output = run(&["--check-config", "-f", path.to_str().unwrap()], &[]);
    let expected = format!(
        "\
the configuration is valid; eventryd would listen on
  {run_dir}/eventry-sock  (mode 0770)
  {run_dir}/eventry-sock-ro  (mode 0777)
  all addresses, port 7  (TCP)
"
    );
    assert_eq!(utf8(&output.stdout), expected);
}

#[test]
fn toml_is_read_by_name_or_option_with_the_same_settings() {
    let (status, stderr) = checked("a.toml", "max_clients = 30\nlisten_tcp = false\n[server]\n");
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.starts_with("eventryd: a.toml:3:"), "{stderr}");
    let (status, stderr) = checked("a.toml", "max_client = 30\n");
    assert_eq!(status, Some(1));
    assert!(
        stderr.contains("a.toml:1:1") && stderr.contains("did you mean `max_clients`?"),
        "{stderr}"
    );

    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a.conf", "listen_tcp = false");
    let options = [
        "--check-config",
        "-f",
        path.to_str().unwrap(),
        "--config-format",
        "toml",
    ];
    assert_eq!(run(&options[..3], &[]).status.code(), Some(1));
    assert_eq!(run(&options, &[]).status.code(), Some(0));
}

#[test]
fn print_config_says_where_each_value_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a.conf", "\nmax_clients = 30\nlog_level = 4\n");
    let path = path.to_str().unwrap();
    let options = ["--print-config", "-f", path, "--prefix", "x", "-t", "9"];
    let output = run(&options, &[("LIBVIRT_DEBUG", "warning")]);
    assert_eq!(output.status.code(), Some(0));
    let printed = utf8(&output.stdout);
    let expected = [
        format!("max_clients = 30  # {path}:2"),
        "log_level = 3  # environment LIBVIRT_DEBUG".to_owned(),
        "eventry_prefix = \"x\"  # option --prefix".to_owned(),
        "eventry_idle_timeout = 9  # option --timeout".to_owned(),
        "max_client_requests = 5  # default".to_owned(),
    ];
    for line in &expected {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        );
    }
}

/// The root directory of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The samples in the repository, with the argument of `--print-sample` and the format.
const SAMPLES: [(&str, &str, ConfigFormat); 2] = [
    ("packaging/eventryd.conf", "libvirt", ConfigFormat::Libvirt),
    ("packaging/eventryd.toml", "toml", ConfigFormat::Toml),
];

#[test]
fn the_samples_are_those_of_the_table() {
    for (path, syntax, format) in SAMPLES {
        let found = std::fs::read_to_string(Path::new(ROOT).join(path));
        let printed = run(&["--print-sample", syntax], &[]);
        assert_eq!(utf8(&printed.stdout), sample_file(format));
        assert!(
            found.is_ok_and(|found| found == sample_file(format)),
            "{path} is out of date: cargo run -- --print-sample {syntax} > {path}"
        );
    }
}

#[test]
fn every_setting_of_the_samples_can_be_enabled() {
    let uncommented = |line: &str| {
        let is_setting =
            line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_alphabetic());
        if is_setting {
            line[1..].to_owned()
        } else {
            line.to_owned()
        }
    };
    for (path, _, format) in SAMPLES {
        let text: Vec<String> = sample_file(format).lines().map(uncommented).collect();
        let settings = text
            .iter()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(settings.count(), setting_specs().count(), "{path}");
        // Not with `--check-config`: this machine has neither the group nor the directories.
        let overrides = Overrides::new(Config::new(RunDir::Chosen("/run/example".into())));
        let file = ConfigFile {
            path: path.into(),
            format,
            text: text.join("\n").into_bytes(),
        };
        let loaded = overrides.load(Some(&file));
        assert!(loaded.is_ok(), "{loaded:?}");
    }
}

/// With `EVENTRY_WRITE=1` this test rewrites the documented table.
#[test]
fn the_documented_settings_are_those_of_the_table() {
    let path = Path::new(ROOT).join("docs/configuration.md");
    let found = std::fs::read_to_string(&path).unwrap();
    let begin = found
        .find("### ")
        .expect("the table begins with its first group");
    let expected = found[..begin].to_owned() + settings_table().trim_end() + "\n";
    if std::env::var_os("EVENTRY_WRITE").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        found == expected,
        "docs/configuration.md: EVENTRY_WRITE=1 cargo test -p eventryd --test config"
    );
}

#[test]
fn a_wrong_configuration_stops_the_start_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let run_dir = run_dir.to_str().unwrap();
    let path = file(&dir, "a.conf", "max_clients = 0");
    let missing = dir.path().join("missing.conf");
    for path in [&path, &missing] {
        let output = run(&["--run-dir", run_dir, "-f", path.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(utf8(&output.stderr).contains(path.to_str().unwrap()));
        assert!(!Path::new(run_dir).exists());
    }
}

#[test]
fn a_wrong_option_or_variable_ends_it_with_status_1() {
    for options in [
        &["--nonsense"][..],
        &["argument"],
        &["-t", "-1"],
        &["--run-dir"],
        &["--config-format", "toml"],
    ] {
        assert_eq!(run(options, &[]).status.code(), Some(1), "{options:?}");
    }
    for (name, value) in [
        ("LIBVIRT_DEBUG", "loud"),
        ("LIBVIRT_LOG_FILTERS", "x"),
        ("LIBVIRT_LOG_OUTPUTS", "1:x"),
    ] {
        let output = run(&["--check-config"], &[(name, value)]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            utf8(&output.stderr).contains(name),
            "{}",
            utf8(&output.stderr)
        );
    }
    for option in ["--help", "--version", "--print-sample"] {
        assert_eq!(run(&[option], &[]).status.code(), Some(0), "{option}");
    }
}

/// A daemon with a configuration file and a log file.
struct Configured {
    dir: TempDir,
    daemon: Option<Daemon>,
}

impl Configured {
    fn start(text: &str) -> Configured {
        let dir = tempfile::tempdir().unwrap();
        let mut configured = Configured { dir, daemon: None };
        configured.write(text);
        let config = configured.dir.path().join("eventryd.conf");
        let options = ["--config", config.to_str().unwrap()];
        configured.daemon = Some(Daemon::start_in(tempfile::tempdir().unwrap(), &options));
        configured
    }

    fn write(&self, text: &str) {
        let log = self.dir.path().join("log");
        let text = format!("{text}\nlog_outputs = \"1:file:{}\"\n", log.display());
        std::fs::write(self.dir.path().join("eventryd.conf"), text).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// Reloads another configuration, and waits until `expected` is logged.
    fn reload(&self, text: &str, expected: &str) {
        self.write(text);
        self.daemon().signal(Signal::HUP);
        wait_until(expected, || self.log().contains(expected));
    }
}

#[test]
fn sighup_applies_settings_and_names_those_for_a_restart() {
    let configured = Configured::start("max_clients = 1\nlog_level = 2");
    let daemon = configured.daemon();
    let mut first = daemon.connect();
    first.open();
    let mut second = daemon.connect();
    std::io::Write::write_all(&mut second.stream, &message(AUTH_LIST, 1, &[])).unwrap();
    assert!(second.is_kept_waiting());

    configured.reload(
        "max_clients = 2\nlog_level = 1\nunix_sock_ro_perms = \"0700\"",
        "SIGHUP: changed, but in force only after a restart: unix_sock_ro_perms\n",
    );
    assert!(
        configured
            .log()
            .contains("SIGHUP: in force now: max_clients, log_level\n"),
        "{}",
        configured.log()
    );
    // The second client is admitted now, and debug messages are logged.
    assert!(second.read_message().is_some());
    wait_until("connections are logged", || {
        configured.log().contains(": debug : ")
    });
    first.call(GET_HOSTNAME, &[]);
}

#[test]
fn sighup_with_a_wrong_file_changes_nothing() {
    let configured = Configured::start("max_clients = 2\nlog_level = 2");
    configured.reload(
        "max_clients = 1\nlog_level = 1\neventry_nonsense = 1",
        "SIGHUP: the configuration is invalid; nothing is changed\n",
    );
    assert!(
        configured
            .log()
            .contains("eventryd.conf:3:1: unknown setting `eventry_nonsense`")
    );
    let mut clients: Vec<RawClient> = (0..2).map(|_| configured.daemon().connect()).collect();
    clients.iter_mut().for_each(RawClient::open);
    assert!(
        !configured.log().contains(": debug : "),
        "{}",
        configured.log()
    );

    configured.reload(
        "max_clients = 2\nlog_level = 2",
        "SIGHUP: the settings are unchanged; log files were opened again\n",
    );
}

#[test]
fn sighup_with_a_log_that_cannot_be_opened_changes_nothing() {
    let configured = Configured::start("max_clients = 2");
    let nowhere = "log_outputs = \"1:file:/nowhere/log\"\nmax_clients = 1";
    configured.reload(nowhere, "/nowhere/log for the log");
    assert!(
        configured.log().contains("; nothing is changed\n"),
        "{}",
        configured.log()
    );
    let mut clients: Vec<RawClient> = (0..2).map(|_| configured.daemon().connect()).collect();
    clients.iter_mut().for_each(RawClient::open);
}

#[test]
fn a_log_file_that_was_moved_away_is_made_anew_on_sighup() {
    let configured = Configured::start("log_level = 2");
    let path = |name| configured.dir.path().join(name);
    std::fs::write(path("log"), "").unwrap();
    std::fs::rename(path("log"), path("log.1")).unwrap();
    configured.reload(
        "log_level = 2",
        "SIGHUP: the settings are unchanged; log files were opened again\n",
    );
}

/// DM-1601: the environment sets the outputs and the level of the log.
#[test]
fn the_environment_sets_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let outputs = format!("1:file:{}", log.display());
    let run_dir = dir.path().join("run");
    let options = ["--run-dir", run_dir.to_str().unwrap(), "--timeout", "1"];
    let variables = [
        ("LIBVIRT_LOG_OUTPUTS", outputs.as_str()),
        ("LIBVIRT_DEBUG", "2"),
    ];
    let output = run(&options, &variables);
    assert_eq!(
        (output.status.code(), utf8(&output.stderr)),
        (Some(0), String::new())
    );
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(": info : server.startup:"), "{log}");
    assert!(
        log.contains("there has been no client for the duration of eventry_idle_timeout"),
        "{log}"
    );
}

/// The file sets everything of libvirt except the two lists that replace single settings.
#[test]
fn a_virtproxyd_conf_that_sets_everything_works_unchanged() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/virtproxyd.conf");
    let source = ConfigFile {
        text: std::fs::read(&path).unwrap(),
        path: path.clone(),
        format: ConfigFormat::Libvirt,
    };
    let (settings, errors) = source.parse();
    assert_eq!(errors, []);
    let missing: Vec<_> = setting_specs()
        .map(|spec| spec.name)
        .filter(|name| !settings.is_explicit(name) && !name.starts_with("eventry_"))
        .collect();
    let own = [
        "tls_no_verify_key_mode",
        "tls_strict_purpose",
        "tls_require_current_crl",
    ];
    assert_eq!(missing, [&["key_files", "cert_files"][..], &own].concat());

    let options = ["--config", path.to_str().unwrap()];
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    let [address] = daemon.addresses("TCP")[..] else {
        panic!("{:?}", daemon.announced());
    };
    assert!(address.ip().is_loopback());
    RawClient::connect_tcp(address).open();
    let mode = std::fs::metadata(daemon.socket()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o770);
    let ended = daemon.stop();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
    assert!(
        ended.log.contains("`audit_level` has no effect"),
        "{}",
        ended.log
    );
}
