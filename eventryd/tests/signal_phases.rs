//! Signals in each phase of a daemon. Signals belong to the process, so this is a single test in its own process.

#![cfg(not(loom))]

use eventryd::driver::{Driver, MemoryDriver};
use eventryd::net::RunDir;
use eventryd::server::{Config, DaemonError, ProcessHooks, Ready, Signals, check, run_process};
use rustix::process::{Signal, getpid, kill_process};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use test_support::client::RawClient;
use test_support::timeout::{TIMEOUT, wait_until};

/// Counts of the events of a daemon.
#[derive(Default)]
struct Counts {
    reloads: AtomicU32,
    stops: AtomicU32,
    starts: AtomicU32,
}

impl Counts {
    fn add(what: &AtomicU32) {
        what.fetch_add(1, Ordering::SeqCst);
    }

    fn values(&self) -> [u32; 3] {
        [&self.starts, &self.reloads, &self.stops].map(|count| count.load(Ordering::SeqCst))
    }
}

struct Running {
    counts: Arc<Counts>,
    initialising: Receiver<()>,
    resume: Sender<()>,
    ready: Receiver<Ready>,
    ended: Receiver<Result<(), DaemonError>>,
}

/// Starts a daemon with signals that are already caught. The initialisation of its driver blocks until the test resumes
/// it.
fn start(config: &Config, signals: Signals) -> Running {
    let counts = Arc::new(Counts::default());
    let (initialising_sender, initialising) = channel();
    let (resume, gate) = channel::<()>();
    let (ready_sender, ready) = channel();
    let (end_sender, ended) = channel();
    let (reload, stop, begin) = (
        Arc::clone(&counts),
        Arc::clone(&counts),
        Arc::clone(&counts),
    );
    let process = ProcessHooks {
        signals,
        on_reload: Box::new(move |_| Counts::add(&reload.reloads)),
        on_stop: Box::new(move || Counts::add(&stop.stops)),
    };
    let config = config.clone();
    let credentials = check(&config).credentials;
    thread::spawn(move || {
        let initialise = move || {
            initialising_sender.send(()).unwrap();
            let _ = gate.recv();
            Ok::<_, Infallible>(Arc::new(MemoryDriver::new()) as Arc<dyn Driver>)
        };
        let on_ready = move |ready| {
            Counts::add(&begin.starts);
            ready_sender.send(ready).unwrap();
        };
        let _ = end_sender.send(run_process(
            &config,
            credentials,
            process,
            initialise,
            on_ready,
        ));
    });
    Running {
        counts,
        initialising,
        resume,
        ready,
        ended,
    }
}

impl Running {
    fn wait(&self) {
        let ended = self.ended.recv_timeout(TIMEOUT).expect("the daemon ends");
        ended.expect("a stop by a signal is a success");
    }
}

fn raise(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

#[test]
fn signal_in_any_phase_is_handled_once_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    let is_empty = || std::fs::read_dir(dir.path()).unwrap().next().is_none();

    // Before the start: only the signals are caught.
    let signals = Signals::catch().unwrap();
    raise(Signal::HUP);
    let daemon = start(&config, signals);
    daemon.resume.send(()).unwrap();
    daemon.ready.recv_timeout(TIMEOUT).unwrap();
    wait_until("the early SIGHUP is handled", || {
        daemon.counts.values() == [1, 1, 0]
    });
    // While the daemon serves.
    raise(Signal::HUP);
    wait_until("SIGHUP is handled", || daemon.counts.values() == [1, 2, 0]);
    let mut client = RawClient::connect(&config.socket_path());
    client.open();
    raise(Signal::TERM);
    daemon.wait();
    assert_eq!(daemon.counts.values(), [1, 2, 1]);
    assert!(client.is_closed() && is_empty());

    let signals = Signals::catch().unwrap();
    raise(Signal::TERM);
    let daemon = start(&config, signals);
    daemon.resume.send(()).unwrap();
    daemon.wait();
    // The daemon may have served for a moment, but it stops exactly once.
    assert_eq!(daemon.counts.values()[1..], [0, 1]);
    assert!(is_empty());

    // While the driver is initialised.
    let daemon = start(&config, Signals::catch().unwrap());
    daemon.initialising.recv_timeout(TIMEOUT).unwrap();
    raise(Signal::HUP);
    wait_until("SIGHUP is handled during the initialisation", || {
        daemon.counts.values() == [0, 1, 0]
    });
    raise(Signal::INT);
    wait_until("SIGINT is handled during the initialisation", || {
        daemon.counts.values() == [0, 1, 1]
    });
    // While the daemon stops.
    raise(Signal::HUP);
    raise(Signal::TERM);
    daemon.resume.send(()).unwrap();
    daemon.wait();
    assert_eq!(
        (daemon.counts.values()[0], daemon.counts.values()[2]),
        (0, 1)
    );
    assert!(is_empty());
}
