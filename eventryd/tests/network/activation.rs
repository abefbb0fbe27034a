//! Socket activation: the daemon on sockets that were passed to it.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use test_support::client::RawClient;
use test_support::daemon::{Daemon, Exit, eventryd, run_to_end};
use test_support::rpc::GET_HOSTNAME;
use test_support::timeout::wait_until;
use test_support::tls::{Tls, Version, client_config, committed_files, handshake, lines_naming};

/// Returns a command that passes a socket to the daemon as descriptor 3, and again as the following ones for each
/// further name.
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
    run_to_end(&mut passed(socket, names, dir.path(), options))
}

#[test]
fn passed_unix_socket_is_served_alone_and_not_removed() {
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

/// DM-404: `listen_tcp` does not apply to passed sockets.
#[test]
fn passed_tcp_socket_is_served_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eventryd.conf");
    fs::write(&file, "listen_tcp = 0\nauth_tcp = \"none\"\n").unwrap();
    let of_file = ["--config", file.to_str().unwrap()];
    for options in [&["--listen-tcp", "127.0.0.1:1"], &of_file] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let other_dir = tempfile::tempdir().unwrap();
        let run_dir = other_dir.path().join("run");
        let mut command = passed(socket.into(), "eventryd-tcp.socket", &run_dir, options);
        let daemon = Daemon::start_by(&mut command, other_dir);
        assert_eq!(daemon.addresses("TCP"), [address]);
        RawClient::connect_tcp(address).open();
    }

    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let exit = refused(socket.into(), "eventryd-tcp.socket", &[]);
    assert_eq!(exit.status, Some(6), "{}", exit.stderr);
    assert!(exit.stderr.contains("auth_tcp"), "{}", exit.stderr);
}

/// DM-501: an error on the listening socket is logged once, and its service is closed.
#[test]
fn broken_listener_closes_its_service_but_not_its_clients() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passed");
    let socket = UnixListener::bind(&path).unwrap();
    let ours = socket.try_clone().unwrap();
    let run_dir = dir.path().join("run");
    let mut command = passed(socket.into(), "eventryd.socket", &run_dir, &[]);
    let daemon = Daemon::start_by(&mut command, dir);
    let mut client = RawClient::connect(&path);
    client.open();
    let before = daemon.descriptors();
    rustix::net::shutdown(&ours, rustix::net::Shutdown::Both).unwrap();
    wait_until("the socket is closed", || daemon.descriptors() < before);
    client.call(GET_HOSTNAME, &[]);
    assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
    let log = daemon.stop().log;
    let lines = log
        .lines()
        .filter(|line| line.contains("is broken; closing its service"));
    assert_eq!(lines.count(), 1, "{log}");
}

/// libvirtd serves without such sockets, so that their clients wait without an answer (DM-402).
#[test]
fn bad_passed_socket_names_end_the_start_with_status_6() {
    let dir = tempfile::tempdir().unwrap();
    let unix = |name: &str| OwnedFd::from(UnixListener::bind(dir.path().join(name)).unwrap());
    let tcp = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    // Unusable keys would be found before the sockets are taken.
    let config = dir.path().join("a.conf");
    std::fs::write(&config, lines_naming(&committed_files())).unwrap();
    let options = ["-f", config.to_str().unwrap()];
    for (socket, names, message) in [
        (unix("a"), "", "systemd passed 1 sockets but 0 names"),
        (
            unix("b"),
            "other.socket",
            "systemd passed a socket with the unknown name \"other.socket\"",
        ),
        (
            unix("c"),
            "libvirtd.socket",
            "systemd passed a socket with the unknown name \"libvirtd.socket\"",
        ),
        (
            unix("d"),
            "eventryd-tls.socket",
            "is not a valid tcp socket",
        ),
        (tcp, "eventryd.socket", "is not a valid unix stream socket"),
    ] {
        let exit = refused(socket, names, &options);
        assert_eq!(exit.status, Some(6), "{}", exit.stderr);
        assert!(exit.stderr.contains(message), "{message}: {}", exit.stderr);
    }
}

#[test]
fn sockets_passed_to_another_process_are_left_alone() {
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

/// DM-404, DM-406: `listen_tls` does not apply to passed sockets.
#[test]
fn passed_tls_socket_is_served_without_listen_tls() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eventryd.conf");
    let log = dir.path().join("log");
    let lines = format!(
        "listen_tls = 0\n{}log_outputs = \"1:file:{}\"\n",
        lines_naming(&committed_files()),
        log.display()
    );
    fs::write(&file, &lines).unwrap();
    let run_dir = dir.path().join("run");
    let options = ["--config", file.to_str().unwrap()];
    let mut command = passed(socket.into(), "eventryd-tls.socket", &run_dir, &options);
    let daemon = Daemon::start_by(&mut command, dir);
    assert_eq!(daemon.addresses("TLS"), [address]);
    assert!(!daemon.socket().exists());
    let connect = || {
        let config = client_config(&committed_files(), Version::Tls13, true);
        Tls::over(TcpStream::connect(address).unwrap(), config)
    };
    handshake(connect()).open();

    fs::write(&file, lines + "tls_allowed_dn_list = []\n").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    wait_until("the list is in force", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("in force now: tls_allowed_dn_list"))
    });
    assert_eq!(
        connect().read(&mut [0]).unwrap_or(0),
        0,
        "no client is allowed"
    );
}

#[test]
fn passed_tls_socket_without_certificates_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eventryd.conf");
    let missing =
        "ca_file = \"/nothing/a\"\ncert_file = \"/nothing/c\"\nkey_file = \"/nothing/k\"\n";
    for (text, message) in [
        (missing, "cannot read the CA certificate /nothing/a"),
        (
            "auth_tls = \"polkit\"\n",
            "set `listen_tls = 1` and run `eventryd --check-config` to list the errors",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = ["--config", file.to_str().unwrap()];
        let exit = refused(socket.into(), "eventryd-tls.socket", &options);
        assert_eq!(exit.status, Some(6), "{}", exit.stderr);
        assert!(exit.stderr.contains(message), "{}", exit.stderr);
    }
}
