//! The log in the journal. The test runs the daemon in a mount namespace with a journal socket of its own, which may
//! need privileges; `./tests/run acceptance` runs it.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use test_support::daemon::eventryd;
use test_support::timeout::{TIMEOUT, bounded};

/// The command that runs the daemon with a directory of the test as `/run/systemd`.
const IN_NAMESPACE: &str = "mount -t tmpfs none /run && mkdir /run/systemd && mount --bind \"$0\" /run/systemd && exec \"$@\"";

#[test]
fn the_journal_gets_priority_name_and_message_of_each_line() {
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
        .expect("unshare is not installed: install util-linux, or use tests/run, which does");
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    bounded("the start of eventryd", move || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(
            line.contains("listens on"),
            "the daemon did not start; are mount namespaces allowed?"
        );
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
