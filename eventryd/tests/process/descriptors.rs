//! The daemon as a process with few descriptors.

use std::path::Path;
use std::process::{Command, Stdio};
use test_support::daemon::{Daemon, eventryd, run_to_end};
use test_support::rpc::AUTH_LIST;

/// Returns the command for a daemon with this limit of open files.
fn limited(run_dir: &Path, limit: u32) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")])
        .arg(eventryd().get_program())
        .arg("--run-dir")
        .arg(run_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// DM-114
#[test]
fn clients_are_served_with_the_fewest_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = limited(&dir.path().join("run"), 64);
    let daemon = Daemon::start_by(&mut command, dir);
    let mut clients: Vec<_> = (0..20).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        client.call(AUTH_LIST, &[]);
        client.open();
    }
    assert_eq!(daemon.stop().status, Some(0));
}

/// DM-114
#[test]
fn start_with_too_few_descriptors_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let exit = run_to_end(&mut limited(&dir.path().join("run"), 63));
    assert_eq!(exit.status, Some(3));
    let expected = "the limit of open files is 63, but the daemon needs 64: raise it";
    assert!(exit.stderr.contains(expected), "{}", exit.stderr);
}
