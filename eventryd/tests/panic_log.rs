//! Panics in the log (DM-1606). The test has its own process, because it sets the log, the panic hook and the standard
//! error of the process.

#![cfg(not(loom))]

use eventryd::driver::{Driver, DriverError, HypervisorSession};
use eventryd::log::{
    Destination, Filters, Level, LogConfig, LogSockets, Logger, Output, log_panics,
};
use eventryd::net::RunDir;
use eventryd::server::Config;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::{CONNECT_OPEN, message, open_arguments};

/// A driver whose `open` panics, on a worker or on the loop's thread.
struct Panicking {
    may_block: bool,
}

impl Driver for Panicking {
    fn open(&self, _uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError> {
        panic!("no session today")
    }

    fn may_block(&self) -> bool {
        self.may_block
    }
}

#[test]
fn panic_of_a_driver_is_logged_once_and_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, printed) = (dir.path().join("log"), dir.path().join("stderr"));
    let logger = Logger::install(&LogConfig {
        level: Level::Info,
        filters: Filters::default(),
        outputs: vec![Output {
            level: Level::Info,
            destination: Destination::File(log.clone()),
        }],
        burst_limit: 0,
        sockets: LogSockets::default(),
    })
    .unwrap();
    log_panics();
    rustix::stdio::dup2_stderr(File::create(&printed).unwrap()).unwrap();
    for (may_block, thread) in [(false, "event-loop"), (true, "worker")] {
        let config = Config::new(RunDir::Chosen(dir.path().join(thread)));
        let daemon = InProcess::start(&config, move || Arc::new(Panicking { may_block }));
        let ready = daemon.ready();
        let mut client = RawClient::connect(&config.socket_path());
        let call = message(CONNECT_OPEN, 1, &open_arguments());
        client.stream.write_all(&call).unwrap();
        // The worker's client gets an error.
        assert_eq!(client.read_message().is_some(), may_block);
        ready.shutdown.request();
        daemon.wait().unwrap();
        assert_eq!(logger.flush(), []);
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.contains("no session today"));
        let lines: Vec<&str> = lines.filter(|line| line.contains(thread)).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains("panic_log.rs:"), "{text}");
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(text.matches("no session today").count(), 2, "{text}");
    assert_eq!(std::fs::read_to_string(&printed).unwrap(), "");
}
