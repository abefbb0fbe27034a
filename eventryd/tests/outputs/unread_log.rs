//! A log that is not read (DM-1606).

use super::*;
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

/// Opens a FIFO for reading without a wait for the daemon.
fn open_reader(path: &Path) -> File {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let mut options = File::options();
    options.read(true).custom_flags(nonblocking);
    let reader = options.open(path).unwrap();
    rustix::io::ioctl_fionbio(&reader, false).unwrap();
    reader
}

/// Causes lines for an output that is not read, and checks that the daemon serves in bounded memory.
fn fill(daemon: &Daemon) {
    let mut client = daemon.connect();
    client.open();
    let before = daemon.resident_kib();
    cause_warnings(daemon, LINES);
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB for {LINES} lines");
    assert_served(daemon, &mut client);
    daemon.signal(Signal::HUP);
    assert_served(daemon, &mut client);
}

/// Checks the lines and the count of the dropped ones.
fn assert_complete(log: &str) {
    let written = log.matches("broke the protocol").count();
    let dropped = dropped_counts(log);
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert!(written + dropped[0] >= LINES, "{written} and {dropped:?}");
    assert!(written > 0 && dropped[0] > 0);
}

#[test]
fn unread_stderr_stops_nothing_and_counts_dropped_lines() {
    let mut daemon = start_logging_to(tempfile::tempdir().unwrap(), "1:stderr");
    fill(&daemon);
    let log = read_until(daemon.take_stderr(), &["lines dropped"]);
    assert_complete(&log);
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn sigterm_ends_the_daemon_beside_an_unread_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let outputs = format!("1:stderr 1:file:{}", log.display());
    let daemon = start_logging_to(dir, &outputs);
    cause_warnings(&daemon, LINES);
    let file = File::open(&log).unwrap();
    daemon.signal(Signal::TERM);
    let ended = daemon.wait_without_reading();
    assert_eq!(ended.status, Some(0));
    assert_eq!(ended.left_behind, [""; 0]);
    // The file has every line, the last one of the stop, and the number of lines that standard error has lost.
    let log = read_until(file, &["stopped", "standard error"]);
    assert_eq!(log.matches("broke the protocol").count(), LINES);
    let of_stderr = log.lines().find(|line| line.contains("standard error"));
    assert!(of_stderr.unwrap().contains("lines lost"), "{of_stderr:?}");
}

#[test]
fn file_that_hangs_stops_nothing_and_counts_dropped_lines() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    let reader = open_reader(&fifo);
    let daemon = start_logging_to(dir, &format!("1:file:{}", fifo.display()));
    let mut client = daemon.connect();
    client.open();
    let before = daemon.resident_kib();
    cause_warnings(&daemon, LINES);
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB for {LINES} lines");
    assert_served(&daemon, &mut client);
    let log = read_until(reader, &["lines dropped"]);
    assert_complete(&log);
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn file_that_hangs_is_left_at_the_end_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    let _reader = open_reader(&fifo);
    let outputs = format!("1:file:{} 3:stderr", fifo.display());
    let mut daemon = start_logging_to(dir, &outputs);
    let stderr = daemon.take_stderr();
    let collected = std::thread::spawn(move || read_until(stderr, &["lines lost"]));
    let descriptors = daemon.idle_descriptors();
    fill(&daemon);
    // The writer that hangs keeps the descriptor of the file that the reload has opened again.
    assert!(daemon.idle_descriptors() <= descriptors + 1);
    let ended = daemon.stop();
    assert_eq!(ended.status, Some(0));
    let log = collected.join().unwrap();
    let of_fifo = log.lines().find(|line| line.contains("lines lost"));
    assert!(of_fifo.unwrap().contains("/fifo"), "{of_fifo:?}");
}

#[test]
fn reloads_keep_the_number_of_writers() {
    let dir = tempfile::tempdir().unwrap();
    let outputs = format!("1:stderr 1:file:{}", dir.path().join("log").display());
    let daemon = start_logging_to(dir, &outputs);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let before = threads().count();
    for _ in 0..20 {
        daemon.signal(Signal::HUP);
        // The signal is handled before the next client is.
        daemon.connect().open();
    }
    test_support::timeout::wait_until("the writers of replaced files have ended", || {
        threads().count() <= before
    });
    let ended = daemon.stop();
    assert!(ended.log.contains("SIGHUP"), "{}", ended.log);
}
