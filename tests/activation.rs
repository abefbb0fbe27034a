//! The daemon on sockets that were passed to it, as systemd does.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Daemon, Exit, RawClient, eventryd, started_to_end};

/// The daemon, with a socket as its descriptors from 3 on, once for each name.
fn passed(socket: OwnedFd, names: &str, run_dir: &Path, options: &[&str]) -> Command {
    let count = if names.is_empty() {
        1
    } else {
        names.split(':').count()
    };
    let duplicates: String = (0..count)
        .map(|index| format!("exec {}<&0; ", 3 + index))
        .collect();
    let script =
        format!("{duplicates} exec 0</dev/null; LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\"");
    let daemon = eventryd();
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(daemon.get_program())
        .arg("--run-dir")
        .arg(run_dir)
        .args(options)
        .env_remove("XDG_RUNTIME_DIR")
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn refused(socket: OwnedFd, names: &str, options: &[&str]) -> Exit {
    let dir = tempfile::tempdir().unwrap();
    started_to_end(&mut passed(socket, names, dir.path(), options))
}

#[test]
fn a_unix_socket_that_was_passed_is_served_alone_and_stays_when_the_daemon_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passed");
    let socket = UnixListener::bind(&path).unwrap();
    let run_dir = dir.path().join("run");
    let names = "eventryd.socket:eventryd.socket";
    let mut command = passed(socket.into(), names, &run_dir, &[]);
    let daemon = Daemon::start_by(&mut command, dir);
    RawClient::connect(&path).open();
    assert!(!daemon.socket().exists() && !daemon.read_only_socket().exists());
    let line = format!("{}  (read-write)", path.display());
    assert!(daemon.announced().join("\n").contains(&line));
    daemon.signal(rustix::process::Signal::TERM);
    let left = daemon.wait_and_keep();
    assert!(left.path().join("passed").exists());
}

#[test]
fn a_tcp_socket_that_was_passed_is_served_where_tcp_is_configured() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let configured = ["--listen-tcp", "127.0.0.1:1"];
    let mut command = passed(socket.into(), "eventryd-tcp.socket", &run_dir, &configured);
    let daemon = Daemon::start_by(&mut command, dir);
    assert_eq!(daemon.addresses("TCP"), [address]);
    RawClient::connect_tcp(address).open();

    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let exit = refused(socket.into(), "eventryd-tcp.socket", &[]);
    assert_eq!(exit.status, Some(6), "{}", exit.stderr);
    assert!(exit.stderr.contains("listen_tcp"), "{}", exit.stderr);
}

/// libvirtd would serve on without them, and their clients wait for ever (DM-402).
#[test]
fn names_that_are_missing_or_unknown_or_of_another_kind_end_the_start_with_status_6() {
    let dir = tempfile::tempdir().unwrap();
    let unix = |name: &str| OwnedFd::from(UnixListener::bind(dir.path().join(name)).unwrap());
    let tcp = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    for (socket, names, said) in [
        (unix("a"), "", "1 sockets were passed with 0 names"),
        (
            unix("b"),
            "other.socket",
            "a socket was passed as \"other.socket\"",
        ),
        (
            unix("c"),
            "libvirtd.socket",
            "a socket was passed as \"libvirtd.socket\"",
        ),
        (
            unix("d"),
            "eventryd-tls.socket",
            "is not a valid tcp socket",
        ),
        (tcp, "eventryd.socket", "is not a valid unix stream socket"),
    ] {
        let exit = refused(socket, names, &[]);
        assert_eq!(exit.status, Some(6), "{}", exit.stderr);
        assert!(exit.stderr.contains(said), "{said}: {}", exit.stderr);
    }
}

#[test]
fn what_was_passed_to_another_process_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    fs::create_dir(&run_dir).unwrap();
    let mut command = eventryd();
    command
        .arg("--run-dir")
        .arg(&run_dir)
        .envs([
            ("LISTEN_PID", "1"),
            ("LISTEN_FDS", "1"),
            ("LISTEN_FDNAMES", "x"),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let daemon = Daemon::start_by(&mut command, dir);
    daemon.connect().open();
}
