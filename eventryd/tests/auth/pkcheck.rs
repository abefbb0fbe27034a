//! The processes of `pkcheck`, with a script in its place that never answers.

use crate::*;
use eventryd::auth::PkCheck;
use eventryd::session::Auth;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use test_support::timeout::wait_until;

/// A daemon whose `pkcheck` writes its process id to a file and never answers.
fn daemon_without_answers() -> TestDaemon {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("pkcheck");
    // Written by another process: a program that is open for writing in a fork of this one cannot be executed.
    let written = Command::new("sh")
        .args(["-c", "echo \"$1\" >\"$0\" && chmod 755 \"$0\""])
        .arg(&program)
        .arg(format!(
            "#!/bin/sh\necho $$ >>{}\nexec sleep 300",
            pid_file(&dir).display()
        ))
        .status();
    assert!(written.unwrap().success());
    TestDaemon::start(dir, |config| {
        config.auth_unix_rw = Auth::Polkit;
        config.authorizer = Arc::new(PkCheck { program });
        config.shutdown_grace = Duration::from_millis(1);
    })
}

fn pid_file(dir: &TempDir) -> PathBuf {
    dir.path().join("pids")
}

/// Returns the process ids of all `pkcheck` that have been started.
fn started(daemon: &TestDaemon) -> Vec<String> {
    let text = fs::read_to_string(pid_file(&daemon.dir)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// Connects a client that waits for polkit, as the `count`th.
fn connect_waiting(daemon: &TestDaemon, count: usize) -> RawClient {
    let mut client = daemon.connect();
    client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
    wait_until("pkcheck runs", || started(daemon).len() == count);
    client
}

/// DM-1008: more clients than there may be requests at once leave without an answer.
#[test]
fn pkcheck_of_a_gone_client_is_killed_and_reaped() {
    let daemon = daemon_without_answers();
    for count in 1..=40 {
        drop(connect_waiting(&daemon, count));
        let pids = started(&daemon);
        wait_until("pkcheck has ended", || !is_running(&pids[count - 1]));
    }
    let staying = connect_waiting(&daemon, 41);
    assert!(is_running(&started(&daemon)[40]));
    drop(staying);
    daemon.stop();
}

/// DM-1008
#[test]
fn pkcheck_does_not_outlive_the_daemon() {
    let daemon = daemon_without_answers();
    let clients: Vec<RawClient> = (1..=3)
        .map(|count| connect_waiting(&daemon, count))
        .collect();
    let pids = started(&daemon);
    assert!(pids.iter().all(|pid| is_running(pid)));
    daemon.stop();
    let left: Vec<&String> = pids.iter().filter(|pid| is_running(pid)).collect();
    assert!(left.is_empty(), "{left:?}");
    drop(clients);
}
