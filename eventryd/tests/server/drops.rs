//! The drop of a hypervisor session, which may block: it happens on a worker, not on the loop's thread.

use eventry::MonotonicTime;
use eventryd::driver::{Domain, DomainInfo, Driver, DriverError, HypervisorSession, MemoryDriver};
use eventryd::net::{RunDir, TransportKind};
use eventryd::server::{Config, Ready, TcpService};
use eventryd::session::Auth;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tempfile::TempDir;
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::{CONNECT_OPEN, message, open_arguments};
use test_support::timeout::{TIMEOUT, wait_until};
use test_support::{delegate, delegate_rest};

const CONNECT_CLOSE: i32 = 2;

/// The in-memory hypervisor, whose opens wait until the test lets them return, and whose sessions report the thread
/// that drops them.
struct DropDriver {
    inner: MemoryDriver,
    opens: Sender<Sender<()>>,
    drops: Sender<String>,
}

struct Reporting {
    inner: Box<dyn HypervisorSession>,
    drops: Sender<String>,
}

impl Driver for DropDriver {
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError> {
        let (resume, wait) = channel();
        // The receiver is gone at the end of the test.
        if self.opens.send(resume).is_ok() {
            let _ = wait.recv();
        }
        Ok(Box::new(Reporting {
            inner: self.inner.open(uri)?,
            drops: self.drops.clone(),
        }))
    }

    fn may_block(&self) -> bool {
        true
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        let _ = self.drops.send(name);
    }
}

impl HypervisorSession for Reporting {
    fn may_block(&self) -> bool {
        true
    }

    delegate! {
        hostname() -> String;
        version() -> u64;
        domain_by_name(name: &[u8]) -> Result<Domain, DriverError>;
        info(domain: &Domain, now: MonotonicTime) -> Result<DomainInfo, DriverError>;
        suspend(domain: &Domain) -> Result<(), DriverError>;
        destroy(domain: &Domain) -> Result<(), DriverError>;
    }

    delegate_rest!();
}

struct DropDaemon {
    process: InProcess,
    ready: Ready,
    config: Config,
    opens: Receiver<Sender<()>>,
    drops: Receiver<String>,
    _dir: TempDir,
}

impl DropDaemon {
    fn start() -> DropDaemon {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
        config.tcp = Some(TcpService {
            address: Some("127.0.0.1".to_owned()),
            port: "0".to_owned(),
            auth: Auth::None,
        });
        let (sender, opens) = channel();
        let (drop_sender, drops) = channel();
        let driver = DropDriver {
            inner: MemoryDriver::new(),
            opens: sender,
            drops: drop_sender,
        };
        let process = InProcess::start(&config, || Arc::new(driver));
        let ready = process.ready();
        DropDaemon {
            process,
            ready,
            config,
            opens,
            drops,
            _dir: dir,
        }
    }

    /// Connects, and sends an open, which blocks until the sender is dropped.
    fn begin_open(&self) -> (RawClient, Sender<()>) {
        let mut client = RawClient::connect(&self.config.socket_path());
        let open = message(CONNECT_OPEN, 1, &open_arguments());
        client.stream.write_all(&open).unwrap();
        let blocked = self.opens.recv_timeout(TIMEOUT).expect("an open blocks");
        (client, blocked)
    }

    fn assert_dropped_on_a_worker(&self, what: &str) {
        let thread = self.drops.recv_timeout(TIMEOUT).expect("a drop");
        assert_eq!(thread, "worker", "{what}");
    }

    fn stop(self) {
        self.ready.shutdown.request();
        self.process.wait().unwrap();
    }
}

#[test]
fn session_of_a_client_that_leaves_is_dropped_on_a_worker() {
    let daemon = DropDaemon::start();
    for closes in [true, false] {
        let (mut client, blocked) = daemon.begin_open();
        drop(blocked);
        assert!(client.read_message().is_some());
        if closes {
            client.call(CONNECT_CLOSE, &[]);
            assert!(client.is_closed());
        }
        drop(client);
        daemon.assert_dropped_on_a_worker("after an open");
    }
    daemon.stop();
}

/// The session does not exist yet when its client leaves.
#[test]
fn session_opened_for_a_client_that_left_is_dropped_on_a_worker() {
    let daemon = DropDaemon::start();
    let (client, blocked) = daemon.begin_open();
    drop(client);
    wait_until("the client is gone", || {
        daemon.ready.control.client_counts().served == 0
    });
    drop(blocked);
    daemon.assert_dropped_on_a_worker("after the client");
    daemon.stop();
}

/// Garbage over TCP ends the session while the connection lingers.
#[test]
fn session_of_a_lingering_client_is_dropped_on_a_worker() {
    let daemon = DropDaemon::start();
    let mut endpoints = daemon.ready.endpoints.iter();
    let tcp = endpoints.find(|endpoint| endpoint.transport == TransportKind::Tcp);
    let eventryd::net::ListenAddress::Tcp(address) = tcp.expect("a TCP endpoint").address else {
        panic!("not a TCP address");
    };
    let mut client = RawClient::connect_tcp(address);
    let open = message(CONNECT_OPEN, 1, &open_arguments());
    client.stream.write_all(&open).unwrap();
    drop(daemon.opens.recv_timeout(TIMEOUT).expect("an open blocks"));
    assert!(client.read_message().is_some());
    client.stream.write_all(&[0xff; 64]).unwrap();
    // The client has not closed its side.
    daemon.assert_dropped_on_a_worker("while lingering");
    drop(client);
    daemon.stop();
}

/// The worker ends the open while the connection lingers.
#[test]
fn session_opened_for_a_lingering_client_is_dropped_on_a_worker() {
    let daemon = DropDaemon::start();
    let mut endpoints = daemon.ready.endpoints.iter();
    let tcp = endpoints.find(|endpoint| endpoint.transport == TransportKind::Tcp);
    let eventryd::net::ListenAddress::Tcp(address) = tcp.expect("a TCP endpoint").address else {
        panic!("not a TCP address");
    };
    let mut client = RawClient::connect_tcp(address);
    let mut sent = message(CONNECT_OPEN, 1, &open_arguments());
    sent.extend([0xff; 64]);
    client.stream.write_all(&sent).unwrap();
    let blocked = daemon.opens.recv_timeout(TIMEOUT).expect("an open blocks");
    drop(blocked);
    daemon.assert_dropped_on_a_worker("while lingering");
    drop(client);
    daemon.stop();
}
