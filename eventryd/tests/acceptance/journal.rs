//! The log in the journal at the path of the system. The test runs the daemon in a mount namespace with a journal socket
//! of its own; where that is not allowed, as in many containers, it is not run. `tests/log_sockets.rs` checks the records
//! and a full socket without a namespace.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use test_support::daemon::eventryd;
use test_support::not_run;
use test_support::timeout::{TIMEOUT, bounded};

/// The command that runs the daemon with a directory of the test as `/run/systemd`.
const IN_NAMESPACE: &str = "mount -t tmpfs none /run && mkdir /run/systemd && mount --bind \"$0\" /run/systemd && exec \"$@\"";

/// Returns the reason for which no mount namespace can be made here, if there is one.
fn namespace_error() -> Option<String> {
    let mut command = Command::new("unshare");
    let tried = command
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /run")
        .output()
        .expect("unshare is not installed: install util-linux, or use tests/run, which does");
    let error = String::from_utf8_lossy(&tried.stderr);
    (!tried.status.success()).then(|| error.trim_end().replace('\n', "; "))
}

#[test]
fn the_journal_gets_priority_name_and_message_of_each_line() {
    if let Some(error) = namespace_error() {
        let test = "the_journal_gets_priority_name_and_message_of_each_line";
        not_run(test, &format!("no mount namespace: {error}"));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("journal")).unwrap();
    let journal = UnixDatagram::bind(dir.path().join("journal/socket")).unwrap();
    journal.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut child = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", IN_NAMESPACE])
        .arg(dir.path())
        .arg(eventryd().get_program())
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .env("LIBVIRT_LOG_OUTPUTS", "1:journald")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    bounded("the start of eventryd", move || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains("listens on"), "the daemon did not start");
    });
    // unshare and the shell have replaced themselves by the daemon.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();

    let mut record = vec![0; 65_536];
    let text = "stopping on a signal; another one stops at once";
    let length = loop {
        let length = journal.recv(&mut record).expect("a record for the journal");
        if contains(&record[..length], &field("MESSAGE", text)) {
            break length;
        }
    };
    let fields = [
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "eventryd"),
        ("CODE_FILE", "eventryd/src/server/signals.rs"),
    ];
    for (name, value) in fields {
        assert!(contains(&record[..length], &field(name, value)), "{name}");
    }
    let ended = bounded("eventryd", move || child.wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

/// Encodes a field of a journal record: name, length and value.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = u64::try_from(value.len()).unwrap().to_le_bytes();
    [name.as_bytes(), b"\n", &length, value.as_bytes(), b"\n"].concat()
}

fn contains(record: &[u8], field: &[u8]) -> bool {
    record.windows(field.len()).any(|part| part == field)
}
