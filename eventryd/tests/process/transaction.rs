//! The daemon as a process: a reload that fails changes nothing that clients and operators see (DM-1306).

use crate::configured::{Configured, SASL, set_password};
use rustls::{ClientConnection, StreamOwned};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use test_support::client::RawClient;
use test_support::rpc::{AUTH_LIST, message};
use test_support::sasl::log_in;
use test_support::timeout::{TIMEOUT, wait_until};
use test_support::tls::{Version, client_config, committed_files, server_name};

/// Settings before a reload.
const BEFORE: &str = "max_clients = 20\nlog_level = 2\n";

/// The same settings with other values, and more: TLS admits no client, debug messages go to another file, and the daemon
/// ends after a second without a client.
const AFTER: &str = "max_clients = 1\nlog_level = 1\ntls_allowed_dn_list = []\neventry_log_burst = 0\n\
                     eventry_idle_timeout = 1\nsasl_allowed_username_list = [ \"f*\" ]\n";

/// Settings that every configuration of this test has.
fn common() -> String {
    let files = ["ca_file", "cert_file", "key_file"];
    let names = ["ca.pem", "server.pem", "server.key"];
    let lines = files.iter().zip(names);
    let tls: String = lines
        .map(|(setting, name)| format!("{setting} = \"DIR/{name}\"\n"))
        .collect();
    format!("listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n{tls}{SASL}")
}

fn restore_tls_files(dir: &Path) {
    for name in ["ca.pem", "server.pem", "server.key"] {
        fs::copy(committed_files().ca.with_file_name(name), dir.join(name)).unwrap();
    }
}

/// Returns `true` if the daemon confirms the certificate of a client.
fn is_admitted_over_tls(configured: &Configured) -> bool {
    let stream = TcpStream::connect(configured.daemon().addresses("TLS")[0]).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let config = client_config(&committed_files(), Version::Tls13, true);
    let connection = ClientConnection::new(config, server_name()).unwrap();
    let mut welcome = [0];
    let read = StreamOwned::new(connection, stream).read(&mut welcome);
    read.is_ok_and(|length| length == 1) && welcome == [1]
}

fn assert_before_is_in_force(configured: &Configured, failure: &str) {
    let mut clients: Vec<RawClient> = (0..2).map(|_| configured.connect()).collect();
    for client in &mut clients {
        log_in(client, "pencil");
        client.open();
    }
    assert!(is_admitted_over_tls(configured), "{failure}");
    let log = configured.log();
    assert!(!log.contains(": debug : "), "{failure}: {log}");
}

/// Makes the reload fail.
type Failure = (&'static str, fn(&Configured));

fn spoil(configured: &Configured, name: &str) {
    fs::write(configured.path(name), "nothing\n").unwrap();
}

fn prepend(configured: &Configured, line: &str) {
    let text = fs::read_to_string(configured.path("a.conf")).unwrap();
    fs::write(configured.path("a.conf"), format!("{line}\n{text}")).unwrap();
}

const FAILURES: &[Failure] = &[
    ("no file", |at| fs::remove_file(at.path("a.conf")).unwrap()),
    ("directory", |at| {
        fs::remove_file(at.path("a.conf")).unwrap();
        fs::create_dir(at.path("a.conf")).unwrap();
    }),
    ("syntax", |at| prepend(at, "max_clients = [")),
    ("misspelt setting", |at| prepend(at, "max_client = 1")),
    ("value", |at| prepend(at, "keepalive_interval = \"x\"")),
    ("address", |at| prepend(at, "listen_tcp = 1")),
    ("authority", |at| spoil(at, "ca.pem")),
    ("certificate", |at| spoil(at, "server.pem")),
    ("key", |at| spoil(at, "server.key")),
    ("key of another certificate", |at| {
        let other = committed_files().ca.with_file_name("client.key");
        fs::copy(other, at.path("server.key")).unwrap();
    }),
    ("password file", |at| spoil(at, "passwords")),
    ("mode of the password file", |at| {
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(at.path("passwords"), mode).unwrap();
    }),
    ("log file", |at| {
        prepend(at, "log_outputs = \"1:file:/nowhere/log\"")
    }),
    ("log level", |at| prepend(at, "log_filters = \"9:server\"")),
];

#[test]
fn failed_reload_changes_nothing_that_is_seen() {
    let configured = Configured::start_with(&format!("{}{BEFORE}", common()), |dir| {
        restore_tls_files(dir);
    });
    let dir = configured.path("");
    let old_passwords = fs::read(configured.path("passwords")).unwrap();
    for (failure, cause) in FAILURES {
        let _ = fs::remove_dir(configured.path("a.conf"));
        restore_tls_files(&dir);
        fs::write(configured.path("passwords"), &old_passwords).unwrap();
        set_password(&configured, "pen");
        configured.write(&format!("{}{AFTER}", common()));
        cause(&configured);
        let failed = configured.log().matches("; nothing is changed\n").count();
        configured.reload_as_written();
        configured.wait_for("; nothing is changed\n", failed + 1);
        assert_before_is_in_force(&configured, failure);
    }
    // The same settings without a failure.
    restore_tls_files(&dir);
    fs::write(configured.path("passwords"), &old_passwords).unwrap();
    set_password(&configured, "pen");
    configured.reload(&format!("{}{AFTER}", common()));
    assert!(!is_admitted_over_tls(&configured));
    let mut first = configured.connect();
    log_in(&mut first, "pen");
    let mut second = configured.connect();
    let call = message(AUTH_LIST, 1, &[]);
    second.stream.write_all(&call).unwrap();
    assert!(second.is_kept_waiting());
    assert!(configured.log().contains(": debug : "));
    drop((first, second));
    let ended = configured.daemon.unwrap().wait();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
}

/// The daemon has one slot less than its clients, and each failure leaves the waiting one waiting.
#[test]
fn failed_reload_admits_no_waiting_client() {
    let configured = Configured::start(&format!("{SASL}max_anonymous_clients = 1"));
    let mut first = configured.connect();
    first.call(AUTH_LIST, &[]);
    let mut waiting = configured.connect();
    let more = format!("{SASL}max_anonymous_clients = 3");
    for line in [
        "nonsense = 1",
        "max_clients = \"x\"",
        "log_filters = \"9:server\"",
        "log_outputs = \"1:file:/nowhere/log\"",
    ] {
        configured.reload(&format!("{more}\n{line}"));
        assert!(waiting.is_kept_waiting(), "{line}");
    }
    configured.reload(&more);
    waiting.call(AUTH_LIST, &[]);
    configured.stop();
}

/// An output that cannot be opened fails the reload after others have been opened.
#[test]
fn failed_reload_leaves_no_new_log_file() {
    let configured = Configured::start_with("", |dir| {
        fs::write(dir.join("empty"), "").unwrap();
        symlink("target", dir.join("link")).unwrap();
    });
    let names = || {
        let files = fs::read_dir(configured.path("")).unwrap();
        let names = files.map(|file| file.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    let before = names();
    let outputs = [
        "1:file:DIR/new 1:file:/nowhere/log",
        "1:file:DIR/link 1:file:DIR/new 1:file:DIR/empty 1:file:/nowhere/log",
    ];
    for (index, outputs) in outputs.iter().enumerate() {
        configured.reload(&format!("log_outputs = \"{outputs}\""));
        configured.wait_for("; nothing is changed\n", index + 1);
        assert_eq!(names(), before, "{outputs}");
    }
    configured.reload("log_outputs = \"1:file:DIR/link 1:file:DIR/new\"");
    for name in ["target", "new"] {
        wait_until("the new file is written", || {
            let log = fs::read_to_string(configured.path(name)).unwrap_or_default();
            log.contains("in force now: log_outputs")
        });
    }
    configured.stop();
}
