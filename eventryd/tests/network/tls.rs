//! The daemon on TLS: bad clients, and reload of keys and certificates.

#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

use rustix::process::Signal;
use rustls::{ClientConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;
use tempfile::TempDir;
use test_support::client::{RawClient, Stream};
use test_support::daemon::Daemon;
use test_support::rpc::{CONNECT_OPEN, GET_HOSTNAME, message, open_arguments};
use test_support::timeout::wait_until;
use test_support::tls::{
    Tls, Version, client_config, committed_files, handshake, lines_naming, server_name,
};

/// Copies the files of the repository to a directory, and returns the configuration lines for the copies.
fn files_in(dir: &TempDir) -> String {
    let mut files = committed_files();
    let [server] = &mut files.server[..] else {
        panic!("{files:?}");
    };
    for file in [&mut files.ca, &mut server.certificate, &mut server.key] {
        let copy = dir.path().join(file.file_name().unwrap());
        fs::copy(&file, &copy).unwrap();
        *file = copy;
    }
    lines_naming(&files)
}

/// Starts a daemon with TLS and plain TCP, and returns the directory of its files too.
fn start_with(more: &str) -> (Daemon, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let network = "listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n\
                   listen_tcp = 1\ntcp_port = \"0\"\nauth_tcp = \"none\"\n";
    let text = format!("{network}{}{more}", files_in(&dir));
    let file = path.join("eventryd.conf");
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    (Daemon::start_in(dir, &["--config", &file]), path)
}

fn start() -> Daemon {
    start_with("").0
}

/// Connects, and waits for the confirmation of the server.
fn connect_to(address: SocketAddr, version: Version) -> RawClient<Tls> {
    let config = client_config(&committed_files(), version, true);
    handshake(Tls::over(TcpStream::connect(address).unwrap(), config))
}

fn connect(daemon: &Daemon) -> RawClient<Tls> {
    connect_to(daemon.addresses("TLS")[0], Version::Tls13)
}

fn tls_port(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(daemon.addresses("TLS")[0]).unwrap();
    stream.set_timeout(test_support::timeout::TIMEOUT).unwrap();
    stream
}

/// Reads until the end of the stream or an error.
fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn six_messages_in_one_record_get_six_replies() {
    let daemon = start();
    for version in [Version::Tls12, Version::Tls13] {
        let mut client = connect_to(daemon.addresses("TLS")[0], version);
        client.open();
        let calls: Vec<u8> = (2..8)
            .flat_map(|serial| message(GET_HOSTNAME, serial, &[]))
            .collect();
        // One write is one record.
        client.stream.write_all(&calls).unwrap();
        for serial in 2..8 {
            let (header, _) = client.read_message().expect("a reply");
            assert_eq!(header[4], serial);
        }
    }
}

#[test]
fn a_long_message_in_many_records_is_answered() {
    let daemon = start();
    let mut client = connect(&daemon);
    client.open();
    // Bytes after the arguments are ignored.
    client.call(GET_HOSTNAME, &vec![0; 1 << 20]);
}

#[test]
fn a_half_closed_client_over_tls_still_gets_its_answers() {
    let daemon = start();
    for sends_close_notify in [true, false] {
        let mut client = connect(&daemon);
        let mut calls = message(CONNECT_OPEN, 1, &open_arguments());
        calls.extend(message(GET_HOSTNAME, 2, &[]));
        client.stream.write_all(&calls).unwrap();
        if sends_close_notify {
            client.stream.0.conn.send_close_notify();
            client.stream.flush().unwrap();
        }
        client.stream.shutdown(Shutdown::Write).unwrap();
        for _ in 0..2 {
            assert!(client.read_message().is_some());
        }
        assert!(client.is_closed());
    }
}

/// The alert shows that the stream is complete. A rejected client gets none (DM-1203).
#[test]
fn connection_closed_by_the_daemon_gets_close_notify() {
    let daemon = start();
    for version in [Version::Tls12, Version::Tls13] {
        let mut client = connect_to(daemon.addresses("TLS")[0], version);
        client.open();
        let close = 2;
        client.call(close, &[]);
        // Without close_notify this is an error.
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    }
    let mut idle = connect(&daemon);
    // A client that does not read delays no other client.
    let mut non_reading = connect(&daemon);
    non_reading.open();
    non_reading.flood(daemon.pid());
    daemon.signal(Signal::TERM);
    assert_eq!(idle.stream.read(&mut [0]).unwrap(), 0);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().status, Some(0));
}

#[test]
fn tls_client_that_never_reads_stalls_only_itself() {
    let daemon = start();
    let before = daemon.resident_kib();
    let mut client = connect(&daemon);
    client.open();
    client.flood(daemon.pid());
    connect(&daemon).open();
    daemon.connect().open();
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(
        grown < 4 * 1024,
        "{grown} KiB for a client that does not read"
    );
}

#[test]
fn plain_bytes_on_the_tls_port_end_that_connection_alone() {
    let daemon = start();
    let mut other = connect(&daemon);
    let call = message(CONNECT_OPEN, 1, &open_arguments());
    for bytes in [&call[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = tls_port(&daemon);
        stream.write_all(bytes).unwrap();
        // The daemon sends at most an alert.
        let rest = rest_of(stream);
        assert!(
            rest.len() <= 7 && rest.first().is_none_or(|kind| *kind == 21),
            "{rest:02x?}"
        );
    }
    other.open();
    let log = daemon.stop().log;
    let lines = log
        .lines()
        .filter(|line| line.contains("closed: TLS failed"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines.iter().all(|line| line.contains("address=127.0.0.1:")),
        "{lines:?}"
    );
}

#[test]
fn tls_bytes_on_the_plain_port_are_a_length_that_is_too_large() {
    let daemon = start();
    let config = client_config(&committed_files(), Version::Tls13, true);
    let mut connection = ClientConnection::new(config, server_name()).unwrap();
    let mut stream = TcpStream::connect(daemon.addresses("TCP")[0]).unwrap();
    connection.write_tls(&mut stream).unwrap();
    assert_eq!(rest_of(stream), b"");
    let log = daemon.stop().log;
    let line = log.lines().find(|line| line.contains("broke the protocol"));
    assert!(
        line.is_some_and(|line| line.contains("; closing; address=127.0.0.1:")),
        "{log}"
    );
}

/// A partial record or handshake is closed by the authentication timeout. An accepted client is not affected.
#[test]
fn unfinished_handshake_is_closed_in_time() {
    let (daemon, _) = start_with("eventry_auth_timeout = 1\n");
    let mut open = connect(&daemon);
    let config = client_config(&committed_files(), Version::Tls13, true);
    let mut connection = ClientConnection::new(config, server_name()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    for sent in [&[][..], &hello[..3], &hello[..hello.len() / 2], &hello] {
        let mut stream = tls_port(&daemon);
        stream.write_all(sent).unwrap();
        let rest = rest_of(stream);
        assert_eq!(rest.is_empty(), sent.len() < hello.len());
    }
    open.open();
    let log = daemon.stop().log;
    let lines = log
        .lines()
        .filter(|line| line.contains("not authenticated in time"));
    assert_eq!(lines.count(), 4, "{log}");
}

/// A stalled handshake has less time than the authentication, whose default of 60 s is longer than this test waits.
#[test]
fn stalled_handshake_is_closed_after_its_own_time() {
    let (daemon, dir) = start_with("eventry_handshake_timeout = 1\n");
    let mut complete = connect(&daemon);
    let config = client_config(&committed_files(), Version::Tls13, true);
    let mut connection = ClientConnection::new(config, server_name()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    for sent in [&[][..], &hello[..7], &hello] {
        let mut stream = tls_port(&daemon);
        stream.write_all(sent).unwrap();
        rest_of(stream);
    }
    complete.open();
    // A reload changes the time for new clients.
    let file = dir.join("eventryd.conf");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("handshake_timeout = 1", "handshake_timeout = 0");
    let log = dir.join("log");
    let output = format!("log_outputs = \"1:file:{}\"\n", log.display());
    fs::write(&file, text + &output).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the setting is in force", || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.contains("in force now") && log.contains("eventry_handshake_timeout")
    });
    let mut kept = tls_port(&daemon);
    kept.set_timeout(Duration::from_millis(1_500)).unwrap();
    assert!(kept.read(&mut [0]).is_err(), "the client is still there");
    let log = daemon.stop().log;
    let line = "TLS handshake not completed within 1 s (eventry_handshake_timeout); closing";
    assert_eq!(log.matches(line).count(), 3, "{log}");
    let with_address = format!("{line}; address=127.0.0.1:");
    assert_eq!(log.matches(&with_address).count(), 3, "{log}");
}

#[test]
fn disconnect_at_any_handshake_byte_leaves_nothing() {
    let daemon = start();
    let config = client_config(&committed_files(), Version::Tls13, true);
    let mut connection = ClientConnection::new(config, server_name()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    connect(&daemon).open();
    let before = daemon.idle_descriptors();
    for end in 0..=hello.len() {
        let mut stream = tls_port(&daemon);
        stream.write_all(&hello[..end]).unwrap();
    }
    wait_until("all clients are closed", || {
        daemon.idle_descriptors() == before
    });
}

/// Unusable keys and certificates change nothing; usable ones apply to new clients.
#[test]
fn sighup_reads_keys_and_certificates_again_all_or_nothing() {
    let (daemon, dir) = start_with("");
    let mut before = connect(&daemon);
    before.open();
    let reload = |expected: &str, count: usize| {
        daemon.signal(Signal::HUP);
        let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
        wait_until(expected, || log().matches(expected).count() == count);
    };
    let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
    let (good_certificate, good_key) = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
    let lines = fs::read_to_string(dir.join("eventryd.conf")).unwrap();
    let log = format!("log_outputs = \"1:file:{}\"\n", dir.join("log").display());
    fs::write(dir.join("eventryd.conf"), lines + &log).unwrap();
    reload("SIGHUP: in force now: ", 1);

    // The client's key does not belong to the server's certificate.
    let beside = committed_files().ca.with_file_name("client.key");
    fs::copy(beside, &key).unwrap();
    reload("the key does not match the server certificate", 1);
    connect(&daemon).open();
    fs::write(&certificate, "nothing").unwrap();
    reload("no usable server certificate in ", 1);
    connect(&daemon).open();

    fs::write(&certificate, good_certificate).unwrap();
    fs::write(&key, good_key).unwrap();
    let lines = fs::read_to_string(dir.join("eventryd.conf")).unwrap();
    let empty_list = lines.clone() + "tls_allowed_dn_list = []\n";
    fs::write(dir.join("eventryd.conf"), empty_list).unwrap();
    reload("in force now: tls_allowed_dn_list", 1);
    let config = client_config(&committed_files(), Version::Tls13, true);
    let connection = ClientConnection::new(config, server_name()).unwrap();
    let mut refused = StreamOwned::new(connection, tls_port(&daemon));
    assert_eq!(
        refused.read(&mut [0]).unwrap_or(0),
        0,
        "the list is in force"
    );
    // An existing client is not affected.
    before.call(GET_HOSTNAME, &[]);
    fs::write(dir.join("eventryd.conf"), lines).unwrap();
    reload("in force now: tls_allowed_dn_list", 2);
    connect(&daemon).open();
}

/// GnuTLS writes a leading zero byte if the highest bit of the private value is set. Cryptographic libraries reject
/// such a key.
#[test]
fn a_key_with_a_zero_too_many_serves_as_the_one_without() {
    let (daemon, dir) = start_with("");
    let path = dir.join("server.key");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, with_a_zero_before_its_number(&text)).unwrap();
    let config = dir.join("eventryd.conf").display().to_string();
    let padded = Daemon::start_in(tempfile::tempdir().unwrap(), &["--config", &config]);
    connect(&padded).open();
    drop(daemon);
}

/// Returns a P-256 key in PKCS #8 with a leading zero byte in its private value.
fn with_a_zero_before_its_number(pem: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let mut der = STANDARD.decode(lines.collect::<String>()).unwrap();
    // A SEQUENCE contains an OCTET STRING, which contains a SEQUENCE with an OCTET STRING of 32 bytes. Each length grows
    // by one.
    let number = der
        .windows(5)
        .position(|bytes| bytes == [2, 1, 1, 4, 32])
        .unwrap()
        + 4;
    let (inner, outer) = (number - 5, number - 7);
    assert_eq!((der[1], der[inner - 1], der[outer - 1]), (0x81, 0x30, 4));
    for length in [2, outer, inner, number] {
        der[length] += 1;
    }
    der.insert(number + 1, 0);
    let kind = "PRIVATE KEY";
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        STANDARD.encode(der)
    )
}

#[test]
fn an_idle_client_over_tls_costs_at_most_ten_kib() {
    let daemon = Daemon::start_for_measuring_with(|dir| {
        let network = "listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n";
        let file = dir.path().join("eventryd.conf");
        fs::write(&file, format!("{network}{}", files_in(dir))).unwrap();
        vec!["--config".to_owned(), file.display().to_string()]
    });
    let warm: Vec<_> = (0..50).map(|_| connect(&daemon)).collect();
    let before = daemon.resident_kib();
    let clients: Vec<_> = (0..200).map(|_| connect(&daemon)).collect();
    daemon.idle_descriptors();
    let grown = daemon.resident_kib() - before;
    println!("{grown} KiB for {} idle clients", clients.len());
    assert!(grown <= 10 * clients.len() as u64, "{grown} KiB");
    drop((warm, clients));
}
