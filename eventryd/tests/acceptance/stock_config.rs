//! Debian's configuration of libvirtd, and libvirt's parser on the same texts. `./tests/run acceptance` fetches the
//! package and installs virsh.

#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

use eventryd::config::{
    ConfigError, ConfigFile, ConfigFormat, LoadedConfig, Overrides, SettingValue, Settings,
    Virconf, setting_spec,
};
use eventryd::net::RunDir;
use eventryd::server::Config;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use test_support::daemon::{Daemon, eventryd};
use test_support::timeout::bounded;

/// Returns Debian's `libvirtd.conf`, which the stage has unpacked.
fn stock() -> String {
    let path = std::env::var("EVENTRY_STOCK_CONF").expect(
        "EVENTRY_STOCK_CONF names Debian's libvirtd.conf; ./tests/run acceptance fetches it",
    );
    std::fs::read_to_string(path).unwrap()
}

/// Returns the file with every setting enabled that is in a comment.
fn enabled(stock: &str) -> String {
    let lines = stock.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_setting(line: &str) -> bool {
    let name = line.split(['=', ' ']).next().unwrap_or_default();
    line.contains('=')
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn source(text: &str) -> ConfigFile {
    ConfigFile {
        path: PathBuf::from("libvirtd.conf"),
        format: ConfigFormat::Libvirt,
        text: text.as_bytes().to_vec(),
    }
}

fn overrides() -> Overrides {
    Overrides::new(Config::new(RunDir::Chosen("/run/eventry".into())))
}

fn loaded(text: &str) -> Result<LoadedConfig, Vec<ConfigError>> {
    overrides().load(Some(&source(text)))
}

#[test]
fn the_stock_file_as_shipped_changes_nothing() {
    let stock = stock();
    let loaded = loaded(&stock).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(
        format!("{:?}", loaded.daemon),
        format!("{:?}", overrides().load(None).unwrap().daemon)
    );

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libvirtd.conf");
    std::fs::write(&path, stock).unwrap();
    let options = ["-f", path.to_str().unwrap()];
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    let endpoints = daemon
        .announced()
        .iter()
        .filter(|line| line.starts_with("  /"));
    assert_eq!(endpoints.count(), 2, "{:?}", daemon.announced());
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

/// Each setting is known and has the value in the file. The configuration is rejected only for TCP with SASL.
#[test]
fn every_stock_setting_is_known_and_has_its_effect() {
    let text = enabled(&stock());
    let (settings, errors) = source(&text).parse();
    assert_eq!(errors, []);
    let lines: Vec<&str> = text.lines().filter(|line| is_setting(line)).collect();
    assert!(lines.len() >= 51, "{} settings", lines.len());
    for line in &lines {
        let (name, shown) = line.split_once('=').unwrap();
        let spec = setting_spec(name.trim()).unwrap();
        let value = settings.value(spec).unwrap();
        assert!(settings.is_explicit(spec.name));
        let squeezed = |text: &str| text.replace(' ', "");
        assert_eq!(squeezed(&value.to_string()), squeezed(shown), "{line}");
    }
    println!(
        "stock file: {} settings of Debian's libvirtd.conf understood",
        lines.len()
    );

    // Only the setting that is not supported is an error.
    let errors = loaded(&text).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0]
            .message
            .contains("`auth_tcp` can only be \"none\""),
        "{errors:?}"
    );
}

/// The settings to change: SASL is not supported on TCP, and the test has no address 192.168.0.1, no group libvirt, no
/// polkit agent and no access to port 16509.
const CHANGED: [(&str, &str); 7] = [
    ("auth_tcp", "\"none\""),
    ("auth_unix_ro", "\"none\""),
    ("auth_unix_rw", "\"none\""),
    ("listen_addr", "\"127.0.0.1\""),
    ("tcp_port", "\"0\""),
    ("unix_sock_group", "\"GROUP\""),
    ("log_outputs", "\"2:stderr\""),
];

#[test]
fn stock_file_fully_enabled_gives_its_listeners_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let group = std::fs::metadata(dir.path()).unwrap().gid();
    let mut text = enabled(&stock());
    for (name, value) in CHANGED {
        let line = text
            .lines()
            .find(|line| {
                line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}="))
            })
            .unwrap()
            .to_owned();
        let value = value.replace("GROUP", &group.to_string());
        text = text.replace(&format!("\n{line}\n"), &format!("\n{name} = {value}\n"));
    }
    let path = dir.path().join("libvirtd.conf");
    std::fs::write(&path, &text).unwrap();
    let options = ["-f", path.to_str().unwrap()];

    let daemon = loaded(&text).unwrap().daemon;
    assert_eq!(daemon.socket_path(), Path::new("/run/libvirt/eventry-sock"));
    assert_eq!((daemon.rw_mode, daemon.ro_mode), (0o770, 0o777));
    assert_eq!(
        (daemon.max_clients.get(), daemon.max_queued_clients),
        (5000, 1000)
    );
    assert_eq!(daemon.client_limits.max_client_requests.get(), 5);
    assert_eq!(
        (
            daemon.keepalive.interval.unwrap().as_secs(),
            daemon.keepalive.count
        ),
        (5, 5)
    );

    let running = Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    let announced = running.announced().join("\n");
    assert!(
        announced.contains("  127.0.0.1:") && announced.contains("(read-write, TCP)"),
        "{announced}"
    );
    assert!(!announced.contains("TLS"), "{announced}");
    for (socket, mode) in [
        (running.socket(), 0o770),
        (running.read_only_socket(), 0o777),
    ] {
        let found = std::fs::metadata(socket).unwrap();
        assert_eq!(
            (found.permissions().mode() & 0o777, found.gid()),
            (mode, group)
        );
    }
    running.connect().open();
    let ended = running.stop();
    assert_eq!(ended.status, Some(0));
    for name in [
        "access_drivers",
        "audit_level",
        "admin_max_clients",
        "host_uuid",
        "ovs_timeout",
        "keepalive_required",
    ] {
        assert!(
            ended.log.contains(&format!("`{name}` has no effect")),
            "{name}: {}",
            ended.log
        );
    }
}

/// Returns the line at which libvirt's parser reports an error, or `None`. The text is in the client configuration of a
/// user, which has the same syntax; root has no such file, so virsh runs as another user then.
fn libvirt_error_line(text: &[u8]) -> Option<u32> {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("libvirt");
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("libvirt.conf");
    std::fs::write(
        &path,
        [b"uri_default = \"test:///default\"\n", text].concat(),
    )
    .unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        for (path, mode) in [(home.path(), 0o777), (&directory, 0o755), (&path, 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "virsh",
            "uri",
        ]);
        command
    } else {
        let mut command = Command::new("virsh");
        command.arg("uri");
        command
    };
    command
        .env("XDG_CONFIG_HOME", home.path())
        .env("HOME", home.path())
        .env("LC_ALL", "C")
        .env_remove("VIRSH_DEFAULT_CONNECT_URI")
        .env_remove("LIBVIRT_DEFAULT_URI");
    let output = bounded("virsh", move || {
        command
            .output()
            .expect("virsh is not installed: install libvirt-clients, or use tests/run, which does")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    let Some((_, error)) = stderr.split_once("syntax error: ") else {
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "test:///default",
            "{stderr}"
        );
        return None;
    };
    let line = error
        .split_once(".conf:")
        .unwrap()
        .1
        .split(':')
        .next()
        .unwrap();
    Some(line.parse::<u32>().unwrap() - 1)
}

/// Edge cases of the syntax.
const TEXTS: [&str; 50] = [
    "a = 1",
    "a=1;b=2",
    "a=1;;b=2",
    "a=1;\n\n;",
    "a = 1 b = 2",
    "a",
    "a =",
    "a =\n1",
    "1a = 1",
    "_a = 1",
    "a_1 = 1",
    "a-b = 1",
    "a: 1",
    "a = true",
    "a = 1.5",
    "a = 007",
    "a = +5",
    "a = -5",
    "a = - 5",
    "a = \"x\\\"",
    "a = \"x\\\"y\"",
    "a = 'it\"s'",
    "a = \"x\ny\"",
    "a = \"\"\"x\ny\"\"\"",
    "a = \"\"\"x",
    "a = \"\"\"\"\"\"\nb = 1",
    "a = [\n'x',\n\t\"y\",\n]\n",
    "a = [ 'x' 'y' ]",
    "a = [ , ]",
    "a = [ 'x',, ]",
    "a = [ 'x'",
    "a = [ 'x', # no\n]",
    "a = [ [ 1 ], 'x', 2 ]",
    "a = [] # yes",
    "a = 1 # ; b",
    "# only\n",
    "a = 1\r\nb = 2\r\n",
    "\ta = 1\n  b\t=\t2 ;\n",
    "# a\0b\na = 1",
    "a = 1 # caf\u{e9}\r\n# end",
    "\u{feff}a = 1",
    "a == 1",
    "a 1",
    "a = 0x10",
    "a = 'x' # one\nb = [ 'y', # two\n]",
    "[libvirtd]\na = 1",
    "<<<<<<< HEAD\na = 1",
    "a = [ ]\nb = []",
    "a = ''\nb = \"\"",
    "a = 1\n\n\n\t \n",
];

#[test]
fn our_parser_and_libvirts_own_agree() {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    texts.extend((0..60).map(mixed));
    let mut accepted = 0;
    for text in &texts {
        let ours = Virconf::parse(text.as_bytes()).err();
        let theirs = libvirt_error_line(text.as_bytes());
        assert_eq!(
            ours.is_none(),
            theirs.is_none(),
            "{text:?}: {ours:?}, libvirt: line {theirs:?}"
        );
        accepted += usize::from(ours.is_none());
    }
    assert!(
        accepted > 20 && texts.len() - accepted > 20,
        "{accepted} of {}",
        texts.len()
    );
    println!(
        "virconf: {} texts read as libvirt reads them, {accepted} of them without error",
        texts.len()
    );
}

/// Returns a random text of syntax elements.
fn mixed(seed: u64) -> String {
    const PIECES: [&str; 16] = [
        "a",
        "=",
        "1",
        "\"x\"",
        "'y'",
        "[",
        "]",
        ",",
        " ",
        "\n",
        ";",
        "#c",
        "b = 2\n",
        "c = [ 'x', ]",
        "\"\"\"z\"\"\"",
        "\\",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 16).unwrap()
    };
    let rest: String = (0..draw() / 2).map(|_| PIECES[draw()]).collect();
    format!("a = {rest}\nz = 1")
}

/// The known differences from libvirt's parser.
#[test]
fn the_differences_from_libvirts_parser_are_these() {
    // A text of blanks only is empty here. libvirt rejects it unless a setting precedes the blanks.
    assert_eq!(Virconf::parse(b" \n"), Ok(Virconf::default()));
    assert_eq!(libvirt_error_line(b" \n "), None, "blanks after a setting");
    // A number that is too large is an error here; libvirt wraps it.
    assert!(Virconf::parse(b"a = 99999999999999999999").is_err());
    assert_eq!(libvirt_error_line(b"a = 99999999999999999999"), None);
    // A value that is not UTF-8 is an error here, because it cannot be printed.
    assert!(Virconf::parse(b"a = \"\xff\"").is_err());
    assert_eq!(libvirt_error_line(b"a = \"\xff\""), None);
}

/// The first of several settings with one name counts, as with libvirt.
#[test]
fn the_first_of_several_settings_counts_as_with_libvirt() {
    assert_eq!(libvirt_error_line(b"uri_default = \"nonsense\""), None);
    let (settings, _) = source("max_clients = 7\nmax_clients = 8").parse();
    assert_eq!(
        settings.value(setting_spec("max_clients").unwrap()),
        Some(SettingValue::Integer(7))
    );
}

#[test]
fn check_config_takes_the_stock_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libvirtd.conf");
    std::fs::write(&path, stock()).unwrap();
    let mut command = eventryd();
    command.arg("--check-config").arg("-f").arg(&path);
    let output = bounded("eventryd --check-config", move || command.output().unwrap());
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}
