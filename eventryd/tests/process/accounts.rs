//! The daemon as a process, whose files with the names of users hang.

use std::process::{Command, Stdio};
use test_support::daemon::{Daemon, eventryd};
use test_support::not_run;
use test_support::rpc::AUTH_LIST;

/// DM-1006: the loop's thread opens no file for a client.
#[test]
fn client_is_served_while_the_file_of_names_hangs() {
    let private = ["--mount", "--propagation", "private"];
    let possible = Command::new("unshare").args(private).arg("true").output();
    if !possible.is_ok_and(|made| made.status.success()) {
        return not_run(
            "client_is_served_while_the_file_of_names_hangs",
            "no mount namespace can be made",
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let mut command = Command::new("unshare");
    command
        .args(private)
        .arg(eventryd().get_program())
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // unshare has replaced itself by the daemon.
    let daemon = Daemon::start_by(&mut command, dir);
    let mounted = Command::new("nsenter")
        .args(["--mount", "--target", &daemon.pid().to_string()])
        .args(["mount", "--bind"])
        .arg(&fifo)
        .arg("/etc/passwd")
        .status();
    assert!(mounted.unwrap().success());
    daemon.connect().call(AUTH_LIST, &[]);
    assert_eq!(daemon.stop().status, Some(0));
}
