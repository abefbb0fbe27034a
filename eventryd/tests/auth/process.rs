//! Authentication of the daemon as a process: the password file, the log and SIGHUP.

use crate::passwd::passwd;
use crate::password_file;
use crate::sasl::assert_denied;
use rustix::process::Signal;
use std::path::Path;
use test_support::daemon::Daemon;
use test_support::sasl::log_in;
use test_support::timeout::wait_until;

/// Starts a daemon that requires SASL, in a directory with a password file. `DIR` in the settings stands for that
/// directory.
fn daemon(settings: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    assert!(passwd(&dir, &["fred"], "pencil\n").status.success());
    let file = password_file(&dir);
    let config = dir.path().join("eventryd.conf");
    let text = format!(
        "auth_unix_rw = \"sasl\"\neventry_sasl_password_file = \"{}\"\n{settings}",
        file.display()
    );
    let text = text.replace("DIR", dir.path().to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    Daemon::start_in(dir, &["-v", "--config", config.to_str().unwrap()])
}

/// Returns `true` if the password is accepted.
fn can_log_in(daemon: &Daemon, password: &str) -> bool {
    let mut client = daemon.connect();
    crate::sasl::can_log_in(&mut client, password)
}

fn directory_of(daemon: &Daemon) -> std::path::PathBuf {
    daemon.run_dir().parent().map(Path::to_owned).unwrap()
}

#[test]
fn log_names_the_peer_its_login_and_the_refusal() {
    let daemon = daemon("sasl_allowed_username_list = [ \"fred\" ]\n");
    let mut client = daemon.connect();
    assert_denied(&mut client, "wrong");
    log_in(&mut client, "pencil");
    client.open();
    drop(client);
    let mut guessing = daemon.connect();
    for _ in 0..3 {
        assert_denied(&mut guessing, "wrong");
    }
    assert!(guessing.is_closed());
    let log = daemon.stop().log;
    let uid = rustix::process::geteuid().as_raw();
    let peer = format!("uid={uid}");
    let pid = format!("pid={}", std::process::id());
    for (parts, lines) in [
        (&["client 1 connected: ", &peer, &pid][..], 1),
        (
            &[
                "client 1 failed to authenticate: wrong user name or password for \"fred\"; ",
                &pid,
            ],
            1,
        ),
        (&["client 1 authenticated: ", &pid, "sasl=\"fred\""], 1),
        (&["client 1 closed: ", "sasl=\"fred\""], 1),
        (&["client 2 failed to authenticate: ", &pid], 3),
        (
            &["client 2 closed: authentication failed too often; ", &pid],
            1,
        ),
        (&["pencil"], 0),
        (&["wrong\n"], 0),
    ] {
        let found = log
            .lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)));
        assert_eq!(found.count(), lines, "{parts:?} in {log}");
    }
}

#[test]
fn sighup_has_the_passwords_and_the_patterns_read_again() {
    let daemon = daemon("log_outputs = \"2:file:DIR/log\"\n");
    let file = directory_of(&daemon).join("passwords");
    let log = || std::fs::read_to_string(directory_of(&daemon).join("log")).unwrap();
    assert!(can_log_in(&daemon, "pencil"));
    let changed = crate::passwd::passwd_of(&file, &["fred"], "pen\n");
    assert!(changed.status.success());
    assert!(
        can_log_in(&daemon, "pencil"),
        "the file is not read before SIGHUP"
    );
    daemon.signal(Signal::HUP);
    wait_until("the new password is accepted", || {
        can_log_in(&daemon, "pen")
    });
    assert!(!can_log_in(&daemon, "pencil"));

    let config = directory_of(&daemon).join("eventryd.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    let no_users = format!("{text}sasl_allowed_username_list = []\n");
    std::fs::write(&config, no_users).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("no user is accepted", || !can_log_in(&daemon, "pen"));

    // A file that cannot be read changes nothing.
    std::fs::write(&config, text).unwrap();
    std::fs::write(&file, "broken\n").unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the error is logged", || {
        log().contains("passwords:1: expected USER:SCRAM-SHA-256$")
    });
    assert!(log().contains("nothing is changed"), "{}", log());
    assert!(
        !can_log_in(&daemon, "pen"),
        "no user is accepted, as before"
    );
}
