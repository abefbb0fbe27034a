//! A log that is not read (DM-1606).

use super::*;
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use test_support::timeout::wait_until;

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
    wait_until("the writers of replaced files have ended", || {
        threads().count() <= before
    });
    let ended = daemon.stop();
    assert!(ended.log.contains("SIGHUP"), "{}", ended.log);
}

/// Reloads a daemon that also logs to the file `log`, and waits for the end of the reload.
fn reload(daemon: &Daemon, log: &Path) {
    let count = || {
        let text = std::fs::read_to_string(log).unwrap();
        text.matches(" : SIGHUP: ").count()
    };
    let before = count();
    daemon.signal(Signal::HUP);
    wait_until("the reload is logged", || count() > before);
}

fn count_threads(daemon: &Daemon) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid()));
    threads.unwrap().count()
}

#[test]
fn reloads_beside_a_file_that_hangs_start_no_writers() {
    let dir = tempfile::tempdir().unwrap();
    let (fifo, log) = (dir.path().join("fifo"), dir.path().join("log"));
    make_fifo(&fifo);
    let reader = open_reader(&fifo);
    let outputs = format!("1:file:{} 1:file:{}", fifo.display(), log.display());
    let daemon = start_logging_to(dir, &outputs);
    cause_warnings(&daemon, 1000);
    let (threads, descriptors) = (count_threads(&daemon), daemon.idle_descriptors());
    for _ in 0..10 {
        reload(&daemon, &log);
    }
    wait_until("the threads of the reloads have ended", || {
        count_threads(&daemon) <= threads
    });
    assert!(daemon.idle_descriptors() <= descriptors + 1);
    // The writer goes on, in order, and with the file of the last reload.
    let text = read_until(reader, &["client 1001 ", "the settings are unchanged"]);
    assert_eq!(text.matches("broke the protocol").count(), 1000);
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn failing_file_beside_an_unread_stderr_starts_no_threads() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let outputs = format!("1:stderr 1:file:/dev/full 1:file:{}", log.display());
    let daemon = start_logging_to(dir, &outputs);
    cause_warnings(&daemon, 1000);
    let threads = count_threads(&daemon);
    for _ in 0..10 {
        reload(&daemon, &log);
        cause_warnings(&daemon, 1);
    }
    // One thread prints the failures of all files.
    wait_until("the threads of the reloads have ended", || {
        count_threads(&daemon) <= threads + 1
    });
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_without_reading().status, Some(0));
}

#[test]
fn replaced_output_is_resumed_or_reported_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (config, fifo, log) = (
        dir.path().join("a.toml"),
        dir.path().join("fifo"),
        dir.path().join("log"),
    );
    make_fifo(&fifo);
    let _reader = open_reader(&fifo);
    let with = format!("1:file:{} 1:file:{}", fifo.display(), log.display());
    let without = format!("1:file:{}", log.display());
    let daemon = start_logging_to(dir, &with);
    cause_warnings(&daemon, 1000);
    let threads = count_threads(&daemon);
    for outputs in [&without, &with].repeat(5).into_iter().chain([&without]) {
        let text = format!("log_outputs = \"{outputs}\"\neventry_log_burst = 0\n");
        std::fs::write(&config, text).unwrap();
        reload(&daemon, &log);
    }
    wait_until("the threads of the reloads have ended", || {
        count_threads(&daemon) <= threads
    });
    let file = File::open(&log).unwrap();
    assert_eq!(daemon.stop().status, Some(0));
    let text = read_until(file, &["lines lost: ", "/fifo did not accept them"]);
    assert_eq!(text.matches("lines lost: ").count(), 1, "{text}");
}
