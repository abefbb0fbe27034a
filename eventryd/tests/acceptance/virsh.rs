//! virsh against the daemon. The expected output was recorded with libvirt's daemon.

#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

use eventryd::auth::{DEFAULT_ITERATIONS, PasswordChange, change_password};
use eventryd::driver::MemoryDriver;
use eventryd::net::RunDir;
use eventryd::server::Config;
use eventryd::session::Auth;
use eventryd::session::Keepalive;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use test_support::daemon::{Daemon, virsh};
use test_support::in_process::InProcess;
use test_support::timeout::bounded;

/// The recorded sessions that are repeated on the read-write socket.
const READ_WRITE: [&str; 20] = [
    "virsh-version-daemon",
    "virsh-version",
    "virsh-uri",
    "virsh-hostname",
    "virsh-nodeinfo",
    "virsh-list",
    "virsh-list-all",
    "virsh-list-uuid-name",
    "virsh-domstate-test",
    "virsh-domstate-test-reason",
    "virsh-domid-test",
    "virsh-domuuid-test",
    "virsh-domname-1",
    "virsh-ro-on-rw-sock-destroy-denied",
    "virsh-name-override",
    "virsh-keepalive-0",
    "virsh-interactive",
    "virsh-interactive-reconnect",
    "virsh-open-bad-uri",
    "virsh-echo-nodomain",
];

/// The recorded sessions on the read-only socket.
const READ_ONLY: [&str; 2] = ["virsh-ro-list-all", "virsh-ro-destroy-denied"];

/// The recorded sessions over TCP.
const TCP: [&str; 2] = ["tcp-virsh-list-all", "tcp-virsh-ro-list-all"];

/// The exit status and the normalised output of virsh.
#[derive(Debug, PartialEq, Eq)]
struct SessionOutput {
    exit: i64,
    stdout: String,
    stderr: String,
}

/// Replaces the parts that may differ: the host name, the CPU time of a domain, and the client's version.
fn normalise(text: &str, hostname: &str) -> String {
    let line = |line: &str| -> String {
        match line {
            _ if line == hostname => "HOSTNAME".to_owned(),
            _ if line.starts_with("CPU time:") => "CPU time: …".to_owned(),
            _ if line.starts_with("Compiled against library:")
                || line.starts_with("Using library:")
                || line.starts_with("Using API:") =>
            {
                let end = line.rfind(' ').unwrap_or(line.len());
                line[..end].to_owned()
            }
            _ => line.to_owned(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn recorded(session: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/traces")
        .join(format!("{session}.json"));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn run_recorded(trace: &Value, address: &str) -> Output {
    let argv = trace["argv"].as_array().unwrap();
    let arguments: Vec<String> = argv[1..]
        .iter()
        .map(|word| {
            let word = word.as_str().unwrap();
            word.replace("SOCKET", address).replace("HOST", address)
        })
        .collect();
    virsh(&arguments, trace["stdin"].as_str())
}

#[test]
fn recorded_sessions_of_virsh_end_and_print_as_with_libvirt() {
    let daemon = Daemon::start_in(
        tempfile::tempdir().unwrap(),
        &["--listen-tcp", "127.0.0.1:0"],
    );
    let hostname = rustix::system::uname()
        .nodename()
        .to_str()
        .unwrap()
        .to_owned();
    let path = |socket: PathBuf| socket.display().to_string();
    let read_write = READ_WRITE.map(|session| (session, path(daemon.socket())));
    let read_only = READ_ONLY.map(|session| (session, path(daemon.read_only_socket())));
    let tcp = TCP.map(|session| (session, daemon.addresses("TCP")[0].to_string()));
    for (session, address) in read_write.into_iter().chain(read_only).chain(tcp) {
        let trace = recorded(session);
        let output = run_recorded(&trace, &address);
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            normalise(&text.replace(&address, "SOCKET"), &hostname)
        };
        let actual = SessionOutput {
            exit: i64::from(output.status.code().unwrap()),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        let expected = SessionOutput {
            exit: trace["exit"].as_i64().unwrap(),
            stdout: normalise(trace["stdout"].as_str().unwrap(), "vm"),
            stderr: normalise(trace["stderr"].as_str().unwrap(), "vm"),
        };
        assert_eq!(actual, expected, "{session}");
    }
    println!(
        "{} recorded sessions equal",
        READ_WRITE.len() + READ_ONLY.len() + TCP.len()
    );
}

#[test]
fn the_printed_line_works_as_it_is() {
    let daemon = Daemon::start();
    let line = daemon.announced().last().unwrap().trim();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", line]);
    let output = bounded("the printed line", move || shell.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("running"));
}

fn list_all(daemon: &Daemon) -> Output {
    let uri = format!("test+unix:///default?socket={}", daemon.socket().display());
    let arguments = ["-c", &uri, "list", "--all"].map(str::to_owned);
    virsh(&arguments, None)
}

#[test]
fn sixty_four_at_once_all_succeed() {
    let daemon = Daemon::start();
    let expected = recorded("virsh-list-all")["stdout"].clone();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..64).map(|_| scope.spawn(|| list_all(&daemon))).collect();
        for client in clients {
            let output = client.join().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                expected.as_str().unwrap()
            );
        }
    });
}

#[test]
fn thousand_sessions_leak_no_descriptor_and_no_memory() {
    let daemon = Daemon::start_for_measuring();
    // The first sessions fill the caches.
    for _ in 0..20 {
        assert!(list_all(&daemon).status.success());
    }
    let (descriptors, memory) = (daemon.idle_descriptors(), daemon.resident_kib());
    for _ in 0..1000 {
        assert!(list_all(&daemon).status.success());
    }
    let grown = daemon.resident_kib().saturating_sub(memory);
    println!("descriptors {descriptors}, resident {memory} KiB, grown by {grown} KiB");
    assert_eq!(daemon.idle_descriptors(), descriptors);
    assert!(grown <= 16, "{grown} KiB more after 1,000 clients");
    assert_eq!(daemon.stop().left_behind, [""; 0]);
}

/// Both sides send a ping each second, and the daemon closes the connection after two. The test needs real time,
/// because the shortest interval of virsh is a second.
#[test]
fn an_idle_virsh_and_the_daemon_keep_each_other_alive() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    config.keepalive = Keepalive {
        interval: Some(Duration::from_secs(1)),
        count: 1,
    };
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    let state = daemon.ready();
    let uri = format!(
        "test+unix:///default?socket={}",
        config.socket_path().display()
    );
    let mut virsh = Command::new("virsh")
        .args(["-k", "1", "-K", "3", "-c", &uri])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (virsh.stdin.take().unwrap(), virsh.stdout.take().unwrap());
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let mut hostname = || {
        writeln!(input, "hostname; echo END").unwrap();
        let answer = lines.by_ref().find(|line| line == "END");
        assert!(answer.is_some(), "virsh ended early");
    };
    hostname();
    thread::sleep(Duration::from_secs(5));
    hostname();
    drop(input);
    let ended = bounded("virsh", move || virsh.wait().unwrap());
    assert!(ended.success());
    state.shutdown.request();
    daemon.wait().unwrap();
}

/// virsh authenticates with SCRAM-SHA-256 of Cyrus SASL and the default iterations of `eventryd passwd`. It prints
/// libvirt's message if it is refused.
#[test]
fn virsh_sasl_needs_the_right_authfile() {
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("passwords");
    for (user, password) in [("fred", "pencil"), ("a,b=c", "pässwörd"), ("ann", "x")] {
        let set = PasswordChange::Set {
            password: password.as_bytes(),
            iterations: DEFAULT_ITERATIONS,
        };
        change_password(&password_file, user, set).unwrap();
    }
    let mut config = Config::new(RunDir::Chosen(dir.path().join("run")));
    config.auth_unix_rw = Auth::Sasl;
    config.sasl.password_file = password_file;
    config.sasl.allowed_users = Some(vec!["f*".into(), "a,b=?".into()]);
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::with_hostname("example")));
    let ready = daemon.ready();
    for (user, password, is_allowed) in [
        ("fred", "pencil", true),
        ("a,b=c", "pässwörd", true),
        ("fred", "pencils", false),
        ("nobody", "pencil", false),
        ("ann", "x", false),
    ] {
        let authfile = dir.path().join("auth.conf");
        let text = format!(
            "[credentials-x]\nauthname={user}\npassword={password}\n\n\
             [auth-libvirt-localhost]\ncredentials=x\n"
        );
        std::fs::write(&authfile, text).unwrap();
        let uri = format!(
            "test+unix:///default?socket={}&authfile={}",
            config.socket_path().display(),
            authfile.display()
        );
        let output = virsh(&["-c", &uri, "hostname"].map(str::to_owned), None);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let actual = (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        );
        let refused = "error: failed to connect to the hypervisor\n\
                       error: authentication failed: authentication failed";
        let expected = if is_allowed {
            (true, "example".to_owned(), String::new())
        } else {
            (false, String::new(), refused.to_owned())
        };
        assert_eq!(actual, expected, "{user} {password}");
    }
    ready.shutdown.request();
    daemon.wait().unwrap();
}
