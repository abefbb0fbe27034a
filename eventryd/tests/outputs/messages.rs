//! Messages of a program that ends, on a standard error that is not read.

use super::*;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use test_support::daemon::{eventryd, run_to_end};

#[test]
fn many_messages_on_an_unread_stderr_take_one_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("a.conf");
    // Each of them alone would take a second, and the program ends within 30 s.
    let text: String = (0..60)
        .map(|number| format!("unknown_{number} = 1\n"))
        .collect();
    std::fs::write(&config, text).unwrap();
    let (_reader, mut full) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.write(&[0; 4096]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let mut command = eventryd();
    command
        .arg("--config")
        .arg(&config)
        .arg("--check-config")
        .stdout(std::process::Stdio::null())
        .stderr(OwnedFd::from(full));
    assert_eq!(run_to_end(&mut command).status, Some(0));
}

#[test]
fn many_messages_are_printed_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("a.conf");
    let text: String = (0..2000)
        .map(|number| format!("unknown_{number} = 1\n"))
        .collect();
    std::fs::write(&config, text).unwrap();
    let mut command = eventryd();
    command
        .arg("--config")
        .arg(&config)
        .arg("--check-config")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let exit = run_to_end(&mut command);
    assert_eq!(exit.status, Some(0), "{}", exit.stderr);
    let numbers: Vec<usize> = exit
        .stderr
        .split("unknown_")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&1999));
}
