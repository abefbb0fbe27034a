//! Properties of the sockets that the daemon makes, accepts and takes over.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use test_support::client::RawClient;
use test_support::daemon::{Daemon, eventryd, refused};
use test_support::timeout::wait_until;
use test_support::tls::{Tls, Version, client_config, committed_files, handshake, lines_naming};

/// Limit of a queue in these tests. The kernel admits one connection more.
const QUEUE: usize = 3;

/// Connections that a test tries to put into a queue.
const ATTEMPTS: usize = 20;

/// Starts a daemon that serves all transports on the loopback interface.
fn start(more: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eventryd.conf");
    let text = format!(
        "listen_tls = 1\ntls_port = \"0\"\nlisten_tcp = 1\ntcp_port = \"0\"\nauth_tcp = \"none\"\n\
         listen_addr = \"127.0.0.1\"\n{}{more}",
        lines_naming(&committed_files())
    );
    fs::write(&file, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    Daemon::start_in(dir, &["--config", file.to_str().unwrap()])
}

#[test]
fn both_network_services_listen_on_listen_addr_only() {
    let daemon = start("");
    for kind in ["TCP", "TLS"] {
        let addresses = daemon.addresses(kind);
        assert!(
            matches!(&addresses[..], [SocketAddr::V4(address)] if address.ip().is_loopback()),
            "{kind}: {addresses:?}"
        );
    }
}

/// Programs that the daemon starts, such as pkcheck, get none of its files.
#[test]
fn every_descriptor_of_the_daemon_is_closed_on_exec() {
    const CLOSED_ON_EXEC: u32 = 0o2_000_000;
    let daemon =
        start("log_outputs = \"1:stderr 1:file:DIR/log\"\neventry_pid_file = \"DIR/pid\"\n");
    let mut unix = daemon.connect();
    unix.open();
    let mut tcp = RawClient::connect_tcp(daemon.addresses("TCP")[0]);
    tcp.open();
    let config = client_config(&committed_files(), Version::Tls13, true);
    let stream = TcpStream::connect(daemon.addresses("TLS")[0]).unwrap();
    let mut tls = handshake(Tls::over(stream, config));
    tls.open();
    let process = format!("/proc/{}", daemon.pid());
    let mut checked = 0;
    for entry in fs::read_dir(format!("{process}/fd")).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let file = fs::read_link(entry.path()).unwrap();
        // The standard streams are inherited on purpose, and others may come from the program that runs the tests.
        let of_the_test = fs::read_link(format!("/proc/self/fd/{number}"));
        if number < 3 || of_the_test.is_ok_and(|of_the_test| of_the_test == file) {
            continue;
        }
        let info = fs::read_to_string(format!("{process}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        assert_ne!(flags & CLOSED_ON_EXEC, 0, "{number}: {}", file.display());
        checked += 1;
    }
    // Four listening sockets, three clients, two locked files and a log.
    assert!(checked >= 10, "{checked}");
}

/// Connects without waiting until the queue is full. Returns the connections in the queue.
fn fill(path: &Path) -> Vec<OwnedFd> {
    let address = SocketAddrUnix::new(path).unwrap();
    let attempts = (0..ATTEMPTS).map_while(|_| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match connect(&socket, &address) {
            Ok(()) => Some(socket),
            Err(error) => {
                assert_eq!(error, Errno::AGAIN);
                None
            }
        }
    });
    attempts.collect()
}

/// Connects without waiting. Returns the number of connections that are established at once, as on the loopback
/// interface all that fit into the queue are.
fn fill_tcp(address: SocketAddr) -> usize {
    let address = SocketAddrAny::from(address);
    let sockets = (0..ATTEMPTS).map(|_| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        assert_eq!(connect(&socket, &address), Err(Errno::INPROGRESS));
        socket
    });
    let sockets: Vec<OwnedFd> = sockets.collect();
    let is_connected = |socket: &&OwnedFd| rustix::net::getpeername(socket).is_ok();
    sockets.iter().filter(is_connected).count()
}

/// Stops the daemon from accepting, and waits until it does.
fn suspend(daemon: &Daemon) {
    daemon.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", daemon.pid());
    wait_until("the daemon is stopped", || {
        fs::read_to_string(&stat).unwrap().contains(") T ")
    });
}

#[test]
fn queue_of_every_socket_has_the_length_of_the_setting() {
    let daemon = start(&format!("max_queued_clients = {QUEUE}\n"));
    suspend(&daemon);
    for path in [daemon.socket(), daemon.read_only_socket()] {
        assert_eq!(fill(&path).len(), QUEUE + 1, "{}", path.display());
    }
    for kind in ["TCP", "TLS"] {
        assert_eq!(fill_tcp(daemon.addresses(kind)[0]), QUEUE + 1, "{kind}");
    }
    daemon.signal(Signal::CONT);
}

/// Returns a command that passes `first` as descriptor 3 and `second` as descriptor 4.
fn passed(first: OwnedFd, second: OwnedFd, names: &str, run_dir: &Path) -> Command {
    let script = "exec 3<&0 4<&2 0</dev/null 2>/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\"";
    let daemon = eventryd();
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(daemon.get_program())
        .arg("--run-dir")
        .arg(run_dir)
        .args(["--listen-tcp", "127.0.0.1:1"])
        .env_remove("XDG_RUNTIME_DIR")
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::from(first))
        .stdout(Stdio::piped())
        .stderr(Stdio::from(second));
    command
}

#[test]
fn several_passed_sockets_have_the_access_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    let sockets = [&first, &second].map(|path| OwnedFd::from(UnixListener::bind(path).unwrap()));
    let [one, other] = sockets;
    let run_dir = dir.path().join("run");
    let names = "eventryd-ro.socket:eventryd.socket";
    let daemon = Daemon::start_by(&mut passed(one, other, names, &run_dir), dir);
    let announced = daemon.announced().join("\n");
    for (path, access) in [(first, "read-only"), (second, "read-write")] {
        let line = format!("{}  ({access})", path.display());
        assert!(announced.contains(&line), "{announced}");
    }
}

#[test]
fn queue_of_a_passed_socket_has_the_length_of_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passed");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let file = dir.path().join("eventryd.conf");
    fs::write(&file, format!("max_queued_clients = {QUEUE}\n")).unwrap();
    let names = "eventryd.socket:eventryd-tcp.socket";
    let mut command = passed(unix.into(), tcp.into(), names, &dir.path().join("run"));
    command.arg("--config").arg(&file);
    let daemon = Daemon::start_by(&mut command, dir);
    suspend(&daemon);
    assert_eq!(fill(&path).len(), QUEUE + 1);
    assert_eq!(fill_tcp(address), QUEUE + 1);
    daemon.signal(Signal::CONT);
}

#[test]
fn socket_of_a_program_with_a_full_queue_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventry-sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let queued = fill(&path);
    assert!(queued.len() < ATTEMPTS);
    let inode = || fs::metadata(&path).unwrap().st_ino();
    let before = inode();
    let exit = refused(dir.path());
    assert_eq!(exit.status, Some(6), "{}", exit.stderr);
    assert!(exit.stderr.contains("in use by another"), "{}", exit.stderr);
    assert_eq!(inode(), before);
}

/// The daemon removes its own socket only.
#[test]
fn socket_of_a_later_program_is_not_removed() {
    let daemon = Daemon::start();
    let path = daemon.socket();
    fs::remove_file(&path).unwrap();
    let _later = UnixListener::bind(&path).unwrap();
    let ended = daemon.stop();
    assert_eq!(ended.left_behind, ["eventry-sock"], "{}", ended.log);
}

#[test]
fn modes_and_group_of_the_settings_apply_to_both_sockets() {
    let own = rustix::process::getegid().as_raw();
    let is_root = rustix::process::geteuid().is_root();
    // Root may give a file to any group.
    let group = if is_root { own + 1 } else { own };
    let daemon = start(&format!(
        "unix_sock_group = \"{group}\"\nunix_sock_rw_perms = \"710\"\nunix_sock_ro_perms = \"0755\"\n"
    ));
    for (path, mode) in [(daemon.socket(), 0o710), (daemon.read_only_socket(), 0o755)] {
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path:?}");
        assert_eq!(found.st_gid(), group, "{path:?}");
    }
}

#[test]
fn directory_that_exists_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    fs::create_dir(&run_dir).unwrap();
    fs::set_permissions(&run_dir, Permissions::from_mode(0o751)).unwrap();
    let daemon = Daemon::start_in(dir, &[]);
    let mode = fs::metadata(daemon.run_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o751);
}
