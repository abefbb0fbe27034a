//! Output of the tasks to a pipe that is closed, and to a disk that is full.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

/// An output whose reader is gone.
fn closed() -> OwnedFd {
    let (_reader, writer) = UnixStream::pair().unwrap();
    writer.into()
}

/// Prints the names of the stages, a task that needs nothing else.
fn list_to(output: impl Into<Stdio>) -> Output {
    let mut list = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let list = list.args(["check", "--list"]).stdout(output);
    list.stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

fn assert_reported(output: &Output, cause: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!("error: cannot write to standard output: {cause}");
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn closed_pipe_is_an_error() {
    assert_reported(&list_to(closed()), "Broken pipe");
}

#[test]
fn full_disk_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_reported(&list_to(full), "No space left on device");
}

#[test]
fn closed_standard_error_is_no_panic() {
    let mut list = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let list = list
        .args(["check", "--list"])
        .stdout(closed())
        .stderr(closed());
    assert_eq!(list.status().unwrap().code(), Some(1));
}
