//! The daemon as a process: its sockets, raw clients, start and stop.

use rustix::process::Signal;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use test_support::client::RawClient;
use test_support::daemon::{Daemon, refused};
use test_support::rpc::{AUTH_LIST, CONNECT_OPEN, GET_HOSTNAME, message, open_arguments};
use test_support::timeout::wait_until;

#[test]
fn start_prints_the_sockets_and_a_virsh_command() {
    let daemon = Daemon::start();
    let socket = daemon.socket().display().to_string();
    let text = daemon.announced().join("\n");
    assert!(text.contains(&format!("{socket}  (read-write)")), "{text}");
    assert!(
        text.contains(&format!("{socket}-ro  (read-only)")),
        "{text}"
    );
    let line = format!("virsh -c 'test+unix:///default?socket={socket}' list --all");
    assert!(text.contains(&line), "{text}");
}

#[test]
fn the_sockets_have_their_modes() {
    let daemon = Daemon::start();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(daemon.socket()), 0o700);
    assert_eq!(mode(daemon.read_only_socket()), 0o777);
}

#[test]
fn the_modes_are_the_same_whatever_the_umask() {
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let modes =
        |daemon: &Daemon| [daemon.run_dir(), daemon.socket(), daemon.read_only_socket()].map(mode);
    let is_root = rustix::process::geteuid().is_root();
    let of_directory = if is_root { 0o755 } else { 0o700 };
    for umask in ["0", "0777"] {
        let daemon = Daemon::start_with_umask(umask);
        assert_eq!(modes(&daemon), [of_directory, 0o700, 0o777]);
    }
}

#[test]
fn a_prefix_lets_it_stand_in_for_another_daemon() {
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &["--prefix", "libvirt"]);
    let mut client = RawClient::connect(&daemon.run_dir().join("libvirt-sock"));
    client.open();
    RawClient::connect(&daemon.run_dir().join("libvirt-sock-ro")).open();
}

#[test]
fn sigterm_and_sigint_stop_it_in_order_and_leave_nothing() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let daemon = Daemon::start();
        let mut client = daemon.connect();
        client.open();
        daemon.signal(signal);
        assert!(client.is_closed());
        let ended = daemon.wait();
        assert_eq!(ended.status, Some(0), "{}", ended.log);
        assert_eq!(ended.left_behind, [""; 0]);
    }
}

#[test]
fn sighup_does_not_end_it() {
    let daemon = Daemon::start();
    daemon.signal(Signal::HUP);
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

/// A client that does not read delays an orderly stop by the grace of 5 seconds; a second signal ends it at once
/// (DM-1304).
#[test]
fn a_second_signal_stops_it_at_once() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.open();
    client.flood(daemon.pid());
    daemon.signal(Signal::TERM);
    // The first signal is handled when the name of the socket is removed.
    wait_until("the name of the socket is removed", || {
        !daemon.socket().exists()
    });
    daemon.signal(Signal::TERM);
    let ended = daemon.wait();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
    assert!(
        ended
            .log
            .contains("waiting for clients to finish clients=1"),
        "{}",
        ended.log
    );
    assert!(ended.log.contains("stopping at once"), "{}", ended.log);
    assert!(!ended.log.contains("grace"), "{}", ended.log);
    assert_eq!(ended.left_behind, [""; 0]);
}

#[test]
fn client_that_never_reads_stalls_only_itself() {
    let daemon = Daemon::start();
    let before = daemon.resident_kib();
    let mut clients: Vec<RawClient> = (0..4).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        client.open();
        client.flood(daemon.pid());
    }
    daemon.connect().open();
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(
        grown < 16 * 1024,
        "{grown} KiB for four clients that do not read"
    );
}

#[test]
fn a_second_daemon_is_refused_and_the_first_undisturbed() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.open();
    let second = refused(&daemon.run_dir());
    let stderr = second.stderr;
    assert_eq!(second.status, Some(1), "{stderr}");
    let pid = format!("another eventryd (process {}) already serves", daemon.pid());
    assert!(stderr.contains(&pid), "{stderr}");
    assert!(stderr.contains("--run-dir"), "{stderr}");

    client.call(GET_HOSTNAME, &[]);
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn a_socket_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventry-sock-ro");
    let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let refused = refused(dir.path());
    let stderr = refused.stderr;
    assert_eq!(refused.status, Some(6), "{stderr}");
    assert!(stderr.contains("in use by another program"), "{stderr}");
    // The read-write socket, which was created first, is removed again.
    assert!(!dir.path().join("eventry-sock").exists());
    assert!(path.exists());
}

#[test]
fn sockets_left_by_a_killed_daemon_are_replaced() {
    let first = Daemon::start();
    let socket = first.socket();
    let dir = first.kill();
    assert!(socket.exists());
    let second = Daemon::start_in(dir, &[]);
    second.connect().open();
    assert_eq!(second.stop().left_behind, [""; 0]);
}

#[test]
fn a_directory_that_cannot_be_made_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let refused = refused(&dir.path().join("file/below"));
    let stderr = refused.stderr;
    assert_eq!(refused.status, Some(2), "{stderr}");
    assert!(stderr.contains("cannot create the directory"), "{stderr}");
}

#[test]
fn daemon_serves_when_its_output_is_not_read() {
    let daemon = Daemon::start_without_stdout();
    wait_until("the socket exists", || daemon.socket().exists());
    daemon.connect().open();
}

/// Returns the first calls of a client.
fn session_bytes() -> Vec<u8> {
    let mut bytes = message(AUTH_LIST, 1, &[]);
    bytes.extend(message(CONNECT_OPEN, 2, &open_arguments()));
    bytes.extend(message(GET_HOSTNAME, 3, &[]));
    bytes
}

#[test]
fn disconnect_at_any_byte_leaves_nothing() {
    let daemon = Daemon::start();
    let bytes = session_bytes();
    // Memory and descriptors of the first client are not a leak.
    daemon.connect().open();
    let before = daemon.idle_descriptors();
    for end in 0..=bytes.len() {
        let mut client = daemon.connect();
        client.stream.write_all(&bytes[..end]).unwrap();
    }
    assert_eq!(daemon.idle_descriptors(), before);
    let log = daemon.stop();
    assert_eq!(log.status, Some(0), "{}", log.log);
}

#[test]
fn one_byte_at_a_time_and_all_in_one_write_are_answered_alike() {
    let daemon = Daemon::start();
    let answers = |client: &mut RawClient| -> Vec<_> {
        (0..3).map(|_| client.read_message().unwrap()).collect()
    };
    let bytes = session_bytes();
    let mut whole = daemon.connect();
    whole.stream.write_all(&bytes).unwrap();
    let mut pieces = daemon.connect();
    for byte in &bytes {
        pieces.stream.write_all(&[*byte]).unwrap();
    }
    let expected = answers(&mut whole);
    assert_eq!(answers(&mut pieces), expected);
    assert!(expected.iter().all(|(header, _)| header[5] == 0));
}

#[test]
fn a_bad_length_closes_the_connection_with_one_log_line() {
    let daemon = Daemon::start();
    daemon.connect().open();
    let before = daemon.idle_descriptors();
    let resident = daemon.resident_kib();
    let lengths: [u32; 6] = [0, 3, 4, 27, 33_554_437, u32::MAX];
    for length in lengths {
        let mut client = daemon.connect();
        let mut bytes = message(AUTH_LIST, 1, &[]);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        client.stream.write_all(&bytes).unwrap();
        assert!(client.is_closed(), "length {length}");
    }
    assert_eq!(daemon.idle_descriptors(), before);
    assert!(
        daemon.resident_kib() < resident + 1024,
        "memory was allocated for a bad length"
    );
    let log = daemon.stop().log;
    let lines = log
        .lines()
        .filter(|line| line.contains("broke the protocol"));
    let identity = format!("; closing; uid={}", rustix::process::geteuid().as_raw());
    let lines: Vec<&str> = lines.collect();
    assert!(lines.iter().all(|line| line.contains(&identity)), "{log}");
    assert_eq!(lines.len(), lengths.len(), "{log}");
}

/// A peer that announces the longest message and stops uses memory only for the bytes that it has sent.
#[test]
fn an_announced_length_allocates_nothing() {
    let daemon = Daemon::start();
    daemon.connect().open();
    let virtual_kib = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmData:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse::<u64>().unwrap()
    };
    let before = virtual_kib();
    let clients: Vec<RawClient> = (0..50)
        .map(|_| {
            let mut client = daemon.connect();
            client
                .stream
                .write_all(&33_554_436_u32.to_be_bytes())
                .unwrap();
            client
        })
        .collect();
    daemon.idle_descriptors();
    let grown = virtual_kib().saturating_sub(before);
    assert!(
        grown < 32 * 1024,
        "{grown} KiB for {} clients",
        clients.len()
    );
}

#[test]
fn a_half_closed_client_still_gets_its_answers() {
    let daemon = Daemon::start();
    for _ in 0..50 {
        let mut client = daemon.connect();
        client.stream.write_all(&session_bytes()).unwrap();
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        for _ in 0..3 {
            assert!(client.read_message().is_some());
        }
        assert!(client.is_closed());
    }
}

/// The rate limit of the log applies to errors of clients, and the number of suppressed lines is logged.
#[test]
fn a_flood_by_clients_is_a_short_log() {
    let daemon = Daemon::start();
    for _ in 0..200 {
        let mut client = daemon.connect();
        client.stream.write_all(&[0; 4]).unwrap();
        assert!(client.is_closed());
    }
    let log = daemon.stop().log;
    let count = |part| log.lines().filter(|line| line.contains(part)).count();
    // A slow run may begin another window of ten seconds.
    assert!((50..200).contains(&count("broke the protocol")), "{log}");
    assert!(count("more lines of server.client:") >= 1, "{log}");
}

/// Line breaks and control characters from a client are escaped in the log.
#[test]
fn a_client_cannot_forge_a_line_of_the_log() {
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &["-v"]);
    let uri = b"test:///\n2026-01-01 00:00:00.000+0000: 1: error : server.hub:1 : forged\x1b[2J\r";
    let mut arguments = vec![0, 0, 0, 1];
    arguments.extend(u32::try_from(uri.len()).unwrap().to_be_bytes());
    arguments.extend(uri);
    arguments.resize(arguments.len().next_multiple_of(4), 0);
    arguments.extend([0; 4]);
    let mut client = daemon.connect();
    let call = message(CONNECT_OPEN, 1, &arguments);
    client.stream.write_all(&call).unwrap();
    assert!(client.read_message().is_some());
    let log = daemon.stop().log;
    assert!(log.contains("forged"), "{log}");
    assert!(!log.contains(['\x1b', '\r']));
    let is_ours = |line: &str| {
        line.contains("+0000: ") && !line.split(" : ").nth(1).unwrap().contains("hub:1")
    };
    assert!(log.lines().all(is_ours), "{log}");
}
