//! The log on the sockets of the journal and of syslog (DM-1606). The test has its own process, because it sets the log
//! of the process, and gives the sockets other paths than those of the system.

#![cfg(not(loom))]

use eventryd::driver::MemoryDriver;
use eventryd::log::{Destination, Filters, Level, LogConfig, LogSockets, Logger, Output};
use eventryd::net::RunDir;
use eventryd::server::Config;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::GET_HOSTNAME;
use test_support::timeout::TIMEOUT;

/// Lines of the log that a peer causes.
const LINES: usize = 10_000;

/// Bound of the memory that the process keeps for these lines, in KiB. Three outputs may keep 1 MiB each.
const MEMORY_KIB: u64 = 12 * 1024;

fn bind(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

fn receive(socket: &UnixDatagram) -> Vec<u8> {
    let mut message = vec![0; 65_536];
    let length = socket.recv(&mut message).expect("a message");
    message.truncate(length);
    message
}

/// Encodes a field of a journal record: name, length and value.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = u64::try_from(value.len()).unwrap().to_le_bytes();
    [name.as_bytes(), b"\n", &length, value.as_bytes(), b"\n"].concat()
}

fn contains(record: &[u8], part: &[u8]) -> bool {
    record.windows(part.len()).any(|found| found == part)
}

fn cause_warning(config: &Config) {
    let mut client = RawClient::connect(&config.socket_path());
    client.stream.write_all(&[0; 4]).unwrap();
    assert!(client.is_closed());
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

/// Reads messages until one reports dropped lines. Returns the number of other messages, and that of dropped lines.
fn read_until_dropped(socket: &UnixDatagram) -> (usize, usize) {
    let mut messages = 0;
    loop {
        let message = receive(socket);
        let text = String::from_utf8_lossy(&message);
        if let Some((before, _)) = text.split_once(" lines dropped") {
            let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
            return (messages, digits.unwrap().parse().unwrap());
        }
        messages += 1;
    }
}

#[test]
fn full_journal_and_syslog_stop_nothing_and_count_lost_lines() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = LogSockets {
        syslog: dir.path().join("syslog"),
        journal: dir.path().join("journal"),
    };
    let log = dir.path().join("log");
    let (journal, syslog) = (bind(&sockets.journal), bind(&sockets.syslog));
    let destinations = [
        Destination::Journald,
        Destination::Syslog("libvirtd".to_owned()),
        Destination::File(log.clone()),
    ];
    let level = Level::Warning;
    let logger = Logger::install(&LogConfig {
        level,
        filters: Filters::default(),
        outputs: destinations
            .map(|destination| Output { level, destination })
            .into(),
        burst_limit: 0,
        sockets,
    })
    .unwrap();
    let config = Config::new(RunDir::Chosen(dir.path().join("run")));
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    let ready = daemon.ready();

    cause_warning(&config);
    let record = receive(&journal);
    for (name, value) in [
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "eventryd"),
        ("TARGET", "eventryd::server::client"),
        ("CODE_FILE", "eventryd/src/server/client.rs"),
    ] {
        assert!(contains(&record, &field(name, value)), "{name}");
    }
    assert!(contains(&record, b"\nMESSAGE\n") && contains(&record, b"broke the protocol"));
    let message = receive(&syslog);
    let start = format!("<28>libvirtd[{}]: client ", std::process::id());
    assert!(message.starts_with(start.as_bytes()));

    let mut client = RawClient::connect(&config.socket_path());
    client.open();
    let before = resident_kib();
    for _ in 0..LINES {
        cause_warning(&config);
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB for {LINES} lines");
    client.call(GET_HOSTNAME, &[]);
    ready.shutdown.request();
    daemon.wait().unwrap();

    // As at the end of the process.
    logger.finish();
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(text.matches("broke the protocol").count(), LINES + 1);
    for output in ["the journal", "syslog"] {
        let is_about = |line: &&str| line.contains("lines lost: ") && line.contains(output);
        assert_eq!(text.lines().filter(is_about).count(), 1, "{output}");
    }

    for socket in [&journal, &syslog] {
        let (messages, dropped) = read_until_dropped(socket);
        assert!(messages > 0 && dropped > 0);
        assert!(messages + dropped >= LINES, "{messages}, {dropped}");
    }
}
