//! The latency of calls while a peer floods a log that is not read.
//!
//! 16 clients make calls while one peer causes 10,000 lines. Standard error, a file, the journal and syslog are stuck in
//! turn: a pipe, a FIFO and two sockets that are full. Each round is followed by one with a quiet log, in which the same
//! peer does the same and nothing is logged, so that other load of the machine affects both. The result is the ratio of
//! the medians of the 99th percentiles of the rounds, for which 1.5 is the limit. On a machine with other load, run it
//! in a real-time class: `chrt -r 1 cargo bench …`.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, as the daemon does not"
)]
#![allow(clippy::print_stdout, reason = "the results are printed")]

use eventryd::driver::MemoryDriver;
use eventryd::log::{Destination, Filters, Level, LogConfig, LogSockets, Logger, Output};
use eventryd::net::RunDir;
use eventryd::server::Config;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::GET_HOSTNAME;

const CLIENTS: usize = 16;
const LINES: usize = 10_000;
const ROUNDS: usize = 5;

/// Time between two calls of a client.
const PAUSE: Duration = Duration::from_millis(2);

/// Limit of the ratio.
const LIMIT: f64 = 1.5;

fn log_config(level: Level, destination: &Destination, sockets: &LogSockets) -> LogConfig {
    LogConfig {
        level,
        filters: Filters::default(),
        outputs: vec![Output {
            level,
            destination: destination.clone(),
        }],
        burst_limit: 0,
        sockets: sockets.clone(),
    }
}

/// Makes calls while a peer breaks the protocol so many times. Returns the latencies.
fn round(socket: &Path) -> Vec<Duration> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = || {
            let mut client = RawClient::connect(socket);
            client.open();
            let mut latencies = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.call(GET_HOSTNAME, &[]);
                latencies.push(begun.elapsed());
                thread::sleep(PAUSE);
            }
            latencies
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for _ in 0..LINES {
            let mut peer = RawClient::connect(socket);
            peer.stream.write_all(&[0; 4]).unwrap();
            assert!(peer.is_closed());
        }
        ended.store(true, Ordering::Relaxed);
        let latencies = clients.into_iter().map(|client| client.join().unwrap());
        latencies.flatten().collect()
    })
}

fn percentile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort_unstable();
    values[values.len() * percent / 100]
}

fn main() -> ExitCode {
    let dir = tempfile::tempdir().unwrap();
    let sockets = LogSockets {
        syslog: dir.path().join("syslog"),
        journal: dir.path().join("journal"),
    };
    // Nothing reads these sockets and the FIFO.
    let _syslog = UnixDatagram::bind(&sockets.syslog).unwrap();
    let _journal = UnixDatagram::bind(&sockets.journal).unwrap();
    let fifo = dir.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _reader = open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let unread = dir.path().join("stderr");
    mknodat(CWD, &unread, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _unread = open(&unread, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    rustix::stdio::dup2_stderr(open(&unread, OFlags::WRONLY, Mode::empty()).unwrap()).unwrap();

    let quiet_output = Destination::File("/dev/null".into());
    let quiet_log = log_config(Level::Error, &quiet_output, &sockets);
    let logger = Logger::install(&quiet_log).unwrap();
    let config = Config::new(RunDir::Chosen(dir.path().join("run")));
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    let ready = daemon.ready();
    let socket = config.socket_path();
    round(&socket);

    let outputs = [
        Destination::Stderr,
        Destination::File(fifo),
        Destination::Journald,
        Destination::Syslog("eventryd".to_owned()),
    ];
    println!("output               p99 quiet   p99 stuck   ratio");
    let mut is_slow = false;
    for output in outputs {
        let (mut quiet, mut stuck) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            logger.apply(logger.prepare(&quiet_log).unwrap());
            quiet.push(percentile(round(&socket), 99));
            let stuck_log = log_config(Level::Warning, &output, &sockets);
            logger.apply(logger.prepare(&stuck_log).unwrap());
            stuck.push(percentile(round(&socket), 99));
        }
        let (quiet, stuck) = (percentile(quiet, 50), percentile(stuck, 50));
        let ratio = stuck.as_secs_f64() / quiet.as_secs_f64();
        is_slow |= ratio > LIMIT;
        let name = match &output {
            Destination::File(_) => "a file".to_owned(),
            other => other.to_string(),
        };
        println!(
            "{name:<16} {:>10.0} µs {:>8.0} µs {ratio:>7.2}",
            quiet.as_secs_f64() * 1e6,
            stuck.as_secs_f64() * 1e6
        );
    }
    ready.shutdown.request();
    daemon.wait().unwrap();
    if is_slow {
        println!("a ratio exceeds {LIMIT}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
