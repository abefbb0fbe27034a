//! The end of the grace of an orderly stop (DM-1303). The test has its own process, because it sets the log of the
//! process.

#![cfg(not(loom))]

use eventryd::driver::MemoryDriver;
use eventryd::net::RunDir;
use eventryd::server::Config;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use test_support::client::RawClient;
use test_support::in_process::InProcess;

/// A writer of the log that sends each piece to the test.
struct Lines(Sender<String>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // The daemon may log after the end of the test.
        let _ = self.0.send(String::from_utf8_lossy(text).into_owned());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_grace_ends_a_stop_that_a_client_holds_up_and_says_so() {
    let (log, logged) = channel();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Lines(log.clone()))
        .init();
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    config.shutdown_grace = Duration::from_millis(20);
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    let state = daemon.ready();
    let mut client = RawClient::connect(&config.socket_path());
    client.open();
    client.flood(std::process::id());
    state.shutdown.request();
    daemon.wait().unwrap();
    let log: String = logged.try_iter().collect();
    assert!(
        log.contains("waiting for clients to finish clients=1"),
        "{log}"
    );
    assert!(
        log.contains("the grace of 20ms is over; stopping unfinished=1"),
        "{log}"
    );
    assert!(!log.contains("at once"), "{log}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
