//! `--check-config` and the start on the same configurations.

use super::check_cases::{RIGHT, WRONG};
use eventryd::auth::{PasswordChange, change_password};
use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use test_support::daemon::{Daemon, eventryd, run_to_end};
use test_support::tls::{committed_files, lines_naming};

/// Replaces the placeholders. Keys are in one line, without a key or certificate that `text` names.
fn filled_in(text: &str, dir: &Path) -> String {
    let keys = lines_naming(&committed_files());
    let is_absent = |line: &&str| {
        let name = line.split(' ').next().unwrap();
        !text.lines().any(|other| other.starts_with(name))
    };
    let keys: Vec<&str> = keys.lines().filter(is_absent).collect();
    text.replace("KEYS", &keys.join("; "))
        .replace("LONG", &"x".repeat(120))
        .replace("DIR", dir.to_str().unwrap())
}

/// Names of all files below a directory.
fn tree(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            names.extend(tree(&path));
        }
    }
    names.sort();
    names
}

/// Options for a configuration. The run directory is an option unless the file names it.
fn options(dir: &Path, text: &str) -> Vec<String> {
    let config = dir.join("a.conf");
    let text = filled_in(text, dir);
    fs::write(&config, &text).unwrap();
    let mut options = vec!["-f".to_owned(), config.display().to_string()];
    if !text.contains("unix_sock_dir") {
        options.push("--run-dir".to_owned());
        options.push(dir.join("run").display().to_string());
    }
    options
}

fn ended(dir: &Path, arguments: &[String]) -> (Option<i32>, String) {
    let mut command = eventryd();
    command
        .args(arguments)
        .env("HOME", dir)
        .env("XDG_CONFIG_HOME", dir)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let exit = run_to_end(&mut command);
    (exit.status, exit.stderr)
}

/// Result of `--check-config` for a configuration.
fn checked(dir: &Path, text: &str) -> (Option<i32>, String) {
    let check = [&["--check-config".to_owned()], &options(dir, text)[..]].concat();
    ended(dir, &check)
}

/// The start logs the same warning. Only root's log files are judged.
#[test]
fn log_file_that_others_can_replace_is_a_warning() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("open")).unwrap();
    fs::set_permissions(dir.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    for (settings, is_unsafe) in [
        ("log_outputs = '1:file:DIR/open/log'", true),
        ("log_outputs = '1:file:DIR/log'", false),
    ] {
        let (status, stderr) = checked(dir, settings);
        assert_eq!(status, Some(0), "{stderr}");
        let warning = format!(
            "eventryd: warning: the log file {}/open/log can be replaced by other users: ",
            dir.display()
        );
        assert_eq!(stderr.lines().count(), usize::from(is_unsafe), "{stderr}");
        assert_eq!(stderr.starts_with(&warning), is_unsafe, "{stderr}");
    }
    assert!(!dir.join("open/log").exists());
}

/// Without users no client can authenticate.
#[test]
fn password_file_without_users_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p");
    let text = "eventry_sasl_password_file = 'DIR/p'\nauth_unix_ro = 'sasl'";
    let warns = || {
        let (status, said) = checked(dir.path(), text);
        assert_eq!(status, Some(0), "{said}");
        said.contains("has no users")
    };
    fs::write(&file, "# none\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(warns());
    for user in ["fred", "ann"] {
        let password = PasswordChange::Set {
            password: b"pencil",
            iterations: NonZeroU32::new(4096).unwrap(),
        };
        change_password(&file, user, password).unwrap();
        assert!(!warns(), "{user}");
    }
}

#[test]
fn check_and_start_fail_alike_and_name_the_line() {
    for (name, prepare, text, status, line, message) in WRONG {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        prepare(dir);
        let options = options(dir, text);
        let before = tree(dir);
        let check = [&["--check-config".to_owned()], &options[..]].concat();
        let (checked, started) = (ended(dir, &check), ended(dir, &options));
        assert_eq!(checked, started, "{name}");
        assert_eq!(checked.0, Some(*status), "{name}: {}", checked.1);
        let message = message.replace("DIR", dir.to_str().unwrap());
        assert!(checked.1.contains(&message), "{name}: {}", checked.1);
        if let Some(line) = line {
            let place = format!("eventryd: {}/a.conf:{line}:", dir.display());
            let found = checked
                .1
                .lines()
                .any(|said| said.starts_with(&place) && said.contains(&message));
            assert!(found, "{name}: {place}: {}", checked.1);
        }
        assert_eq!(tree(dir), before, "{name}");
    }
}

#[test]
fn check_and_start_succeed_alike_and_check_changes_nothing() {
    for (name, prepare, text) in RIGHT {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let options = options(dir.path(), text);
        let before = tree(dir.path());
        let check = [&["--check-config".to_owned()], &options[..]].concat();
        let (status, stderr) = ended(dir.path(), &check);
        assert_eq!(status, Some(0), "{name}: {stderr}");
        assert_eq!(tree(dir.path()), before, "{name}");

        let mut command = eventryd();
        command
            .args(&options)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let keep = dir.path().to_owned();
        let daemon = Daemon::start_by(&mut command, dir);
        // Also while a daemon has the locks and the sockets.
        assert_eq!(ended(&keep, &check), (status, stderr), "{name}");
        drop(daemon);
    }
}

/// Everything is reported at once: the errors of the log, of users, of paths, of addresses and of TLS.
#[test]
fn check_reports_all_errors_with_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let text = "unix_sock_group = 'no such group'\nlog_outputs = '1:file:DIR/no/log'\nlisten_tls = 1\n\
                auth_unix_rw = 'sasl'\nlisten_addr = '[::1]'\neventry_pid_file = 'DIR/no/pid'\nKEYS\ncrl_file = 'DIR'\n";
    let options = options(dir.path(), text);
    let check = [&["--check-config".to_owned()], &options[..]].concat();
    let (status, stderr) = ended(dir.path(), &check);
    assert_eq!(status, Some(1), "{stderr}");
    let place = format!("eventryd: {}/a.conf:", dir.path().display());
    let lines: Vec<&str> = stderr
        .lines()
        .map(|line| {
            line.strip_prefix(&place)
                .unwrap_or(line)
                .split(':')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(lines, ["2", "4", "6", "1", "5", "8"], "{stderr}");
}

/// All files of TLS that cannot be read are reported at once.
#[test]
fn check_reports_all_unusable_tls_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = "listen_tls = 1\nca_file = 'DIR/ca'\ncert_file = 'DIR/cert'\nkey_file = 'DIR/key'\ncrl_file = 'DIR'\n";
    let started = ended(dir, &options(dir, text));
    let (status, stderr) = checked(dir, text);
    assert_eq!((status, stderr.clone()), started);
    assert_eq!(status, Some(6), "{stderr}");
    let shown = dir.display();
    let missing = "No such file or directory (os error 2)";
    // In the order in which the files are read.
    let expected = format!(
        "eventryd: {shown}/a.conf:5:12: cannot read the certificate revocation list {shown}: Is a directory (os error 21); set crl_file to another file\n\
         eventryd: {shown}/a.conf:2:11: cannot read the CA certificate {shown}/ca: {missing}; create it, or set ca_file\n\
         eventryd: {shown}/a.conf:4:12: cannot read the private key {shown}/key: {missing}; create it, or set key_file (or key_files)\n\
         eventryd: {shown}/a.conf:3:13: cannot read the server certificate {shown}/cert: {missing}; create it, or set cert_file (or cert_files)\n"
    );
    assert_eq!(stderr, expected);
    // Several certificates, one of which can be read but has no certificate.
    let text = "listen_tls = 1\nca_file = 'DIR/ca'\ncert_files = [ 'DIR/1', 'DIR/a.conf' ]\nkey_files = [ 'DIR/3', 'DIR/4' ]\n";
    let (_, stderr) = checked(dir, text);
    for name in ["ca", "1", "3", "4", "a.conf"] {
        let found = stderr.contains(&format!(" {shown}/{name}: "));
        assert!(found, "{name}: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 5, "{stderr}");
}

/// A host and ports that cannot be used are reported at once, and the host only once.
#[test]
fn check_reports_host_and_ports() {
    let dir = tempfile::tempdir().unwrap();
    let text = "listen_tcp = 1; auth_tcp = 'none'\nlisten_tls = 1; KEYS\nlisten_addr = '[::1]'\n\
                tcp_port = '65536'\ntls_port = 'nonsense'\n";
    let (status, stderr) = checked(dir.path(), text);
    assert_eq!(status, Some(6), "{stderr}");
    let dir = dir.path().display();
    let parts = [
        (4, "there is no port \"65536\""),
        (3, "cannot resolve \"[::1]\""),
        (5, "there is no port \"nonsense\""),
    ];
    assert_eq!(stderr.lines().count(), parts.len(), "{stderr}");
    for (said, (line, part)) in stderr.lines().zip(parts) {
        let place = format!("eventryd: {dir}/a.conf:{line}:");
        assert!(said.starts_with(&place) && said.contains(part), "{stderr}");
    }
}

/// An option that causes an error is named, and no setting of the file.
#[test]
fn error_of_an_address_of_an_option_names_the_option() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = other.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    for (address, binds, cause, remedy) in [
        (
            "127.0.0.1:65536",
            false,
            "there is no port \"65536\"",
            "give --listen-tcp a port number from 0 to 65535",
        ),
        (
            "host.invalid:0",
            false,
            "cannot resolve",
            "give --listen-tcp an address of this machine",
        ),
        (
            &*busy,
            true,
            "cannot listen on",
            "or give --listen-tcp another port",
        ),
        (
            "192.0.2.77:0",
            true,
            "cannot listen on",
            "give --listen-tcp an address of this machine",
        ),
    ] {
        let run_dir = dir.path().join("run").display().to_string();
        let options = ["--listen-tcp", address, "--run-dir", &run_dir].map(str::to_owned);
        let check = [&["--check-config".to_owned()], &options[..]].concat();
        let (status, stderr) = ended(dir.path(), if binds { &options } else { &check });
        assert_eq!(status, Some(6), "{stderr}");
        let said = stderr.lines().last().unwrap();
        let start = format!("eventryd: option --listen-tcp: {cause}");
        assert!(said.starts_with(&start) && said.contains(remedy), "{said}");
        for setting in ["tcp_port", "tls_port", "listen_addr"] {
            assert!(!said.contains(setting), "{said}");
        }
    }
}

/// The same files and ports by options. The check and the start say the same.
#[test]
fn conflict_of_an_option_names_the_option_and_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid").display().to_string();
    let log = format!("log_outputs = '1:file:{pid}'");
    let tls = "listen_tls = 1; KEYS\ntls_port = '17777'";
    for (option, value, text, status, expected) in [
        (
            "--pid-file",
            &*pid,
            &*log,
            1,
            ["`log_outputs`", "option --pid-file"],
        ),
        (
            "--listen-tcp",
            "127.0.0.1:17777",
            tls,
            6,
            [
                "eventryd: option --listen-tcp: ",
                "`tls_port` are both 17777",
            ],
        ),
    ] {
        let mut options = options(dir.path(), text);
        options.extend([option, value].map(str::to_owned));
        let check = [&["--check-config".to_owned()], &options[..]].concat();
        let checked = ended(dir.path(), &check);
        assert_eq!(checked, ended(dir.path(), &options));
        assert_eq!(checked.0, Some(status), "{}", checked.1);
        for part in expected {
            assert!(checked.1.contains(part), "{}", checked.1);
        }
        assert_eq!(checked.1.lines().count(), 1, "{}", checked.1);
    }
    assert!(!Path::new(&pid).exists());
}

/// An address that is in use is found by binding alone; the message names the line too.
#[test]
fn error_of_a_bound_address_names_the_line() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    for (text, line, remedy) in [
        (
            format!(
                "listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = '127.0.0.1'\ntcp_port = '{port}'"
            ),
            4,
            "or set another tcp_port",
        ),
        (
            format!("listen_tls = 1\nKEYS\nlisten_addr = '127.0.0.1'\ntls_port = '{port}'"),
            4,
            "or set another tls_port",
        ),
        (
            "listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = '192.0.2.77'".to_owned(),
            3,
            "set listen_addr to an address",
        ),
    ] {
        let options = options(dir.path(), &text);
        let (status, stderr) = ended(dir.path(), &options);
        assert_eq!(status, Some(6), "{stderr}");
        let place = format!("{}/a.conf:{line}:", dir.path().display());
        assert!(stderr.contains(&place), "{place}: {stderr}");
        assert!(stderr.contains(remedy), "{remedy}: {stderr}");
    }
}

/// A user may give a socket only to a group that the process is in. Root starts the daemon as another user.
#[test]
fn group_that_the_process_is_not_in_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let options = options(dir.path(), "unix_sock_group = '0'\n");
    let is_root = rustix::process::geteuid().is_root();
    let run = |check: &[&str], user: &[&str]| {
        let program = eventryd();
        let mut command = match user {
            [] => eventryd(),
            [setpriv, arguments @ ..] => {
                let mut command = std::process::Command::new(setpriv);
                command.args(arguments).arg(program.get_program());
                command
            }
        };
        command
            .args(check)
            .args(&options)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped());
        let exit = run_to_end(&mut command);
        (exit.status, exit.stderr)
    };
    let user: &[&str] = match is_root {
        true => &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ],
        false => &[],
    };
    let checked = run(&["--check-config"], user);
    assert_eq!(checked.0, Some(6), "{}", checked.1);
    assert!(checked.1.contains("not a member of it"), "{}", checked.1);
    assert_eq!(run(&[], user), checked);
    if is_root {
        // CAP_CHOWN is enough.
        let chown = [user, &["--inh-caps=+chown", "--ambient-caps=+chown"]].concat();
        let checked = run(&["--check-config"], &chown);
        assert_eq!(checked.0, Some(0), "{}", checked.1);
    }
}
