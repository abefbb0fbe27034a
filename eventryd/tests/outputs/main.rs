//! Outputs of the daemon that do not accept what it writes: its log, and the socket of the service manager. The daemon
//! serves, reloads and ends beside them.

#![cfg(not(loom))]

mod log_files;
mod messages;
mod service_manager;
mod unread_log;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;
use test_support::client::RawClient;
use test_support::daemon::Daemon;
use test_support::rpc::GET_HOSTNAME;
use test_support::timeout::TIMEOUT;

/// Lines of the log that a peer causes.
const LINES: usize = 10_000;

/// Bound of the memory that the daemon keeps for these lines, in KiB. Two outputs may keep 1 MiB each.
const MEMORY_KIB: u64 = 8 * 1024;

/// Starts a daemon with these outputs of the log, without a limit of the lines of a peer.
fn start_logging_to(dir: tempfile::TempDir, outputs: &str) -> Daemon {
    let config = dir.path().join("a.toml");
    let text = format!("log_outputs = \"{outputs}\"\neventry_log_burst = 0\n");
    std::fs::write(&config, text).unwrap();
    let daemon = Daemon::start_in(dir, &["--config", config.to_str().unwrap()]);
    // Memory and descriptors of the first client do not count.
    daemon.connect().open();
    daemon
}

/// Causes a warning by each of so many connections.
fn cause_warnings(daemon: &Daemon, count: usize) {
    for _ in 0..count {
        let mut client = daemon.connect();
        client.stream.write_all(&[0; 4]).unwrap();
        assert!(client.is_closed());
    }
}

/// Calls the daemon on an earlier and on a new connection.
fn assert_served(daemon: &Daemon, client: &mut RawClient) {
    client.call(GET_HOSTNAME, &[]);
    daemon.connect().open();
}

/// Reads until the text contains all of `parts`, and returns it.
fn read_until(mut from: impl Read + Send + 'static, parts: &[&str]) -> String {
    let (sender, received) = channel();
    std::thread::spawn(move || {
        let mut piece = [0; 65_536];
        while let Ok(length) = from.read(&mut piece) {
            // The test may have ended.
            if length > 0 && sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(u64::from(length == 0)));
        }
    });
    let mut text = Vec::new();
    loop {
        let said = String::from_utf8_lossy(&text);
        if parts.iter().all(|part| said.contains(part)) {
            return said.into_owned();
        }
        match received.recv_timeout(TIMEOUT) {
            Ok(piece) => text.extend(piece),
            Err(_) => panic!("{parts:?} do not arrive, but: {said}"),
        }
    }
}

/// Number in front of "lines dropped" in each line that has one.
fn dropped_counts(log: &str) -> Vec<usize> {
    let counts = log.lines().filter_map(|line| {
        let (before, _) = line.split_once(" lines dropped")?;
        before.rsplit(' ').next()?.parse().ok()
    });
    counts.collect()
}

/// Creates a FIFO.
fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}
