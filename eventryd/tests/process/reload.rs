//! The daemon as a process: SIGHUP with files that block, and the clients for which a new setting is in force.

use crate::configured::{Configured, SASL, set_password};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::thread;
use test_support::client::RawClient;
use test_support::daemon::Daemon;
use test_support::rpc::{
    AUTH_LIST, FEATURE_KEEPALIVE, GET_HOSTNAME, PING, SUPPORTS_FEATURE, message,
};
use test_support::timeout::{bounded, wait_until};

fn make_fifo(path: &std::path::Path) {
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// A call that no client with a slot waits for.
fn is_served(client: &mut RawClient) -> bool {
    client
        .stream
        .write_all(&message(AUTH_LIST, 1, &[]))
        .unwrap();
    !client.is_kept_waiting()
}

/// DM-1309
#[test]
fn fifo_in_place_of_the_configuration_is_not_read() {
    let configured = Configured::start("max_clients = 2");
    fs::remove_file(configured.path("a.conf")).unwrap();
    make_fifo(&configured.path("a.conf"));
    configured.hup();
    configured.connect().open();
    let text = "a.conf: cannot read the configuration: it is not a regular file";
    configured.wait_for(text, 1);
    configured.wait_for("; nothing is changed\n", 1);
    assert_eq!(configured.notification(), "RELOADING=1");
    assert_eq!(configured.notification(), "READY=1");

    configured.reload("max_clients = 3");
    configured.wait_for("SIGHUP: in force now: max_clients\n", 1);
    configured.stop();
}

/// DM-1309: passwords, keys and log files are read again, with the settings from the first read.
#[test]
fn configuration_from_a_fifo_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    make_fifo(&path("a.conf"));
    let (fifo, log) = (path("a.conf"), path("log"));
    let settings = format!("log_outputs = \"1:file:{}\"\n", log.display());
    let writer = thread::spawn(move || fs::write(fifo, settings).unwrap());
    let config = path("a.conf");
    let run = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_in(run, &["--config", config.to_str().unwrap()]);
    bounded("the configuration is written", move || {
        writer.join().unwrap()
    });

    fs::rename(&log, path("log.1")).unwrap();
    daemon.signal(Signal::HUP);
    let expected = "a.conf\" is not a regular file and was read once: its settings stay as they are; log files were \
                    opened again\n";
    wait_until(expected, || {
        fs::read_to_string(&log)
            .unwrap_or_default()
            .contains(expected)
    });
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

/// The line about a reload without changes names the files that were read, and no others.
#[test]
fn unchanged_reload_names_what_was_read() {
    for (settings, read) in [("", ""), (SASL, "; passwords were read again")] {
        let configured = Configured::start(settings);
        configured.reload(settings);
        let expected =
            format!("SIGHUP: the settings are unchanged{read}; log files were opened again\n");
        configured.wait_for(&expected, 1);
        configured.stop();
    }
    // The log goes to standard error.
    let mut daemon = Daemon::start();
    let mut log = BufReader::new(daemon.take_stderr());
    daemon.signal(Signal::HUP);
    let line = bounded("the end of the reload", move || {
        loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0);
            if line.contains("SIGHUP: ") {
                return line;
            }
        }
    });
    assert!(
        line.ends_with("SIGHUP: the settings are unchanged\n"),
        "{line}"
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_without_reading().status, Some(0));
}

/// DM-1308: the password file is a FIFO, whose writer is late.
#[test]
fn signals_during_a_reload_lead_to_one_more() {
    let configured = Configured::start(SASL);
    let passwords = fs::read(configured.path("passwords")).unwrap();
    fs::remove_file(configured.path("passwords")).unwrap();
    make_fifo(&configured.path("passwords"));
    configured.hup();
    assert_eq!(configured.notification(), "RELOADING=1");
    for count in 1..=3 {
        configured.hup();
        configured.wait_for("a reload is in progress; another one follows it", count);
        // Clients are served meanwhile.
        assert!(is_served(&mut configured.connect()));
    }
    for next in ["RELOADING=1", ""] {
        let (fifo, passwords) = (configured.path("passwords"), passwords.clone());
        bounded("the reload", move || fs::write(fifo, passwords).unwrap());
        assert_eq!(configured.notification(), "READY=1");
        if !next.is_empty() {
            assert_eq!(configured.notification(), next);
        }
    }
    assert!(is_served(&mut configured.connect()));
    configured.manager.set_nonblocking(true).unwrap();
    let more = configured.manager.recv(&mut [0; 100]);
    assert!(more.is_err(), "there is no third reload");
    configured.stop();
}

/// DM-1309
#[test]
fn reload_that_hangs_is_reported_with_its_file() {
    let configured = Configured::start(SASL);
    let [passwords, fifo] = ["passwords", "fifo"].map(|name| configured.path(name));
    let good = fs::read(&passwords).unwrap();
    fs::remove_file(&passwords).unwrap();
    make_fifo(&passwords);
    configured.hup();
    assert_eq!(configured.notification(), "RELOADING=1");
    assert!(is_served(&mut configured.connect()));
    let text = format!(
        "SIGHUP: no result after 10s, waiting for the password file {passwords:?}; nothing is changed\n"
    );
    configured.wait_for(&text, 1);
    assert_eq!(configured.notification(), "READY=1");

    // Another reload is possible although the first still hangs.
    fs::rename(&passwords, &fifo).unwrap();
    set_password(&configured, "pen");
    configured.hup();
    let text = format!("an earlier reload still waits for the password file {passwords:?}\n");
    configured.wait_for(&text, 1);
    assert_eq!(configured.notification(), "RELOADING=1");
    assert_eq!(configured.notification(), "READY=1");
    test_support::sasl::log_in(&mut configured.connect(), "pen");

    // The late result of the first one is not used.
    bounded("the late end", move || fs::write(fifo, good).unwrap());
    configured.wait_for(
        "a reload has ended after its deadline; nothing is changed",
        1,
    );
    test_support::sasl::log_in(&mut configured.connect(), "pen");
    configured.stop();
}

#[test]
fn more_anonymous_clients_are_admitted_by_a_reload() {
    let settings = |limit| format!("{SASL}max_anonymous_clients = {limit}");
    let configured = Configured::start(&settings(1));
    let mut first = configured.connect();
    assert!(is_served(&mut first));
    let mut waiting: Vec<RawClient> = (0..2).map(|_| configured.connect()).collect();
    for client in &mut waiting {
        assert!(!is_served(client));
    }
    configured.reload(&settings(3));
    for client in &mut waiting {
        assert!(client.read_message().is_some());
    }
    configured.stop();
}

/// The client waits for longer than the grace of evictions, after which admission has no other occasion.
#[test]
fn higher_max_clients_admits_a_client_that_waited_long() {
    let configured = Configured::start("max_clients = 1");
    let mut first = configured.connect();
    first.open();
    let mut late = configured.connect();
    assert!(!is_served(&mut late));
    for _ in 0..6 {
        assert!(late.is_kept_waiting());
    }
    configured.reload("max_clients = 2");
    assert!(late.read_message().is_some());
    first.call(GET_HOSTNAME, &[]);
    configured.stop();
}

/// A client is admitted by the limit at the time, and one that is admitted stays.
#[test]
fn lower_max_clients_applies_as_soon_as_clients_leave() {
    let configured = Configured::start("max_clients = 20");
    let mut clients: Vec<RawClient> = (0..3).map(|_| configured.connect()).collect();
    clients.iter_mut().for_each(RawClient::open);
    configured.reload("max_clients = 1");
    for client in &mut clients {
        client.call(GET_HOSTNAME, &[]);
    }
    let mut late = configured.connect();
    assert!(!is_served(&mut late));
    clients.truncate(1);
    assert!(late.is_kept_waiting(), "one client is left");
    clients.clear();
    assert!(late.read_message().is_some());
    configured.stop();
}

#[test]
fn idle_timeout_of_a_reload_is_in_force_without_a_client() {
    for before in ["", "eventry_idle_timeout = 1000"] {
        let configured = Configured::start(before);
        configured.connect().open();
        configured.reload("eventry_idle_timeout = 1");
        let ended = configured.daemon.unwrap().wait();
        assert_eq!(ended.status, Some(0), "{}", ended.log);
    }
}

/// DM-1307: a reload follows the other until the daemon ends.
#[test]
fn idle_timeout_passes_during_reloads_that_keep_it() {
    let configured = Configured::start("eventry_idle_timeout = 1");
    bounded("the end of an idle daemon", move || {
        while {
            configured.hup();
            // The daemon may stop before, during or after the reload.
            configured.notification() != "STOPPING=1" && configured.notification() != "STOPPING=1"
        } {}
        assert_eq!(configured.daemon.unwrap().wait().status, Some(0));
    });
}

#[test]
fn grace_of_a_reload_ends_the_next_stop() {
    let configured = Configured::start("eventry_shutdown_grace = 1000");
    let mut client = configured.connect();
    client.open();
    configured.reload("eventry_shutdown_grace = 1");
    client.flood(configured.daemon().pid());
    configured.daemon().signal(Signal::TERM);
    configured.wait_for("the grace of 1s is over", 1);
    assert_eq!(configured.notification(), "STOPPING=1");
    assert_eq!(configured.daemon.unwrap().wait().status, Some(0));
}

/// The service manager waits for the grace that is in force, and a margin of 5 seconds.
#[test]
fn service_manager_waits_for_the_grace_of_a_reload() {
    let configured = Configured::start("eventry_shutdown_grace = 1");
    configured.reload("eventry_shutdown_grace = 100");
    configured.daemon().signal(Signal::TERM);
    let mut message = [0; 1024];
    let length = configured.manager.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]);
    assert_eq!(message, "STOPPING=1\nEXTEND_TIMEOUT_USEC=105000000\n");
    assert_eq!(configured.daemon.unwrap().wait().status, Some(0));
}

#[test]
fn settings_for_a_restart_are_named_by_each_reload() {
    let configured = Configured::start("unix_sock_ro_perms = \"0777\"");
    let text = "in force only after a restart: unix_sock_ro_perms\n";
    configured.reload("unix_sock_ro_perms = \"0700\"");
    configured.wait_for(text, 1);
    configured.reload("unix_sock_ro_perms = \"0700\"\nmax_clients = 7");
    configured.wait_for(text, 2);
    configured.reload("eventry_nonsense = 1");
    configured.reload("unix_sock_ro_perms = \"0700\"\nmax_clients = 7");
    configured.wait_for(text, 3);
    configured.reload("unix_sock_ro_perms = \"0777\"");
    configured.wait_for(text, 3);
    configured.stop();
}

fn ask_for_pings(client: &mut RawClient) {
    assert_eq!(
        client.call(SUPPORTS_FEATURE, &FEATURE_KEEPALIVE),
        [0, 0, 0, 1]
    );
}

#[test]
fn keepalive_of_a_reload_applies_to_new_clients_only() {
    let configured = Configured::start("keepalive_interval = 1000");
    let mut before = configured.connect();
    ask_for_pings(&mut before);
    configured.reload("keepalive_interval = 1\nkeepalive_count = 1");
    let mut after = configured.connect();
    ask_for_pings(&mut after);
    assert_eq!(after.read_message().expect("a ping").0, PING);
    assert!(after.is_closed());
    // Still served, although it is silent for longer than the new times.
    ask_for_pings(&mut before);
    configured.stop();
}

#[test]
fn auth_timeout_of_a_reload_applies_to_new_clients_only() {
    let settings = |seconds| format!("{SASL}eventry_auth_timeout = {seconds}");
    let configured = Configured::start(&settings(1000));
    let mut before = configured.connect();
    before.call(AUTH_LIST, &[]);
    configured.reload(&settings(1));
    let mut after = configured.connect();
    assert!(after.is_closed());
    test_support::sasl::log_in(&mut before, "pencil");
    configured.stop();
}
