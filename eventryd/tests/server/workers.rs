//! Blocking calls, which workers run.

use super::blocking::{Blocked, BlockingDriver};
use eventryd::net::RunDir;
use eventryd::server::{Config, DaemonError, Ready, WorkerLimits};
use eventryd::session::Keepalive;
use std::hint::spin_loop;
use std::io::Write;
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::{
    FEATURE_KEEPALIVE, GET_HOSTNAME, KEEPALIVE, PING, SUPPORTS_FEATURE, message, pong,
};
use test_support::timeout::{TIMEOUT, wait_until};

const GET_TYPE: i32 = 3;
const GET_VERSION: i32 = 4;
const CONNECT_CLOSE: i32 = 2;

/// A daemon whose driver blocks.
struct BlockingDaemon {
    process: InProcess,
    state: Ready,
    config: Config,
    blocked: Blocked,
    _dir: TempDir,
}

impl BlockingDaemon {
    fn start(change: impl FnOnce(&mut Config)) -> BlockingDaemon {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
        change(&mut config);
        let (driver, blocked) = BlockingDriver::new();
        BlockingDaemon::start_with(dir, config, driver, blocked)
    }

    fn start_with(
        dir: TempDir,
        config: Config,
        driver: BlockingDriver,
        blocked: Blocked,
    ) -> BlockingDaemon {
        let process = InProcess::start(&config, || Arc::new(driver));
        let state = process.ready();
        BlockingDaemon {
            process,
            state,
            config,
            blocked,
            _dir: dir,
        }
    }

    /// Connects a client, and opens the hypervisor.
    fn connect(&self) -> RawClient {
        let mut client = RawClient::connect(&self.config.socket_path());
        client.open();
        client
    }

    /// Waits until another call blocks. The call returns when the sender is dropped.
    fn blocked(&self) -> Sender<()> {
        self.blocked.recv_timeout(TIMEOUT).expect("a call blocks")
    }

    /// Requests a stop, and waits until the socket is removed.
    fn request_stop(&self) {
        self.state.shutdown.request();
        let socket = self.config.socket_path();
        wait_until("the socket is removed", || !socket.exists());
    }

    fn wait(self) -> Result<(), DaemonError> {
        self.process.wait()
    }
}

fn send(client: &mut RawClient, calls: &[(i32, u32)]) {
    let bytes: Vec<u8> = calls
        .iter()
        .flat_map(|(procedure, serial)| message(*procedure, *serial, &[]))
        .collect();
    client.stream.write_all(&bytes).unwrap();
}

/// Returns the serial and the status of the next reply.
fn reply(client: &mut RawClient) -> (u32, u32) {
    let (header, _) = client.read_message().expect("a reply");
    (header[4], header[5])
}

/// libvirtd runs 6 of the 20 at the same time.
#[test]
fn twenty_blocking_calls_in_a_burst_run_at_the_same_time() {
    let daemon = BlockingDaemon::start(|config| {
        config.client_limits.max_client_requests = NonZeroUsize::new(20).unwrap();
    });
    let mut client = daemon.connect();
    let calls: Vec<_> = (100..120).map(|serial| (GET_HOSTNAME, serial)).collect();
    send(&mut client, &calls);
    let blocked: Vec<_> = (0..20).map(|_| daemon.blocked()).collect();
    drop(blocked);
    let mut serials: Vec<u32> = (0..20).map(|_| reply(&mut client).0).collect();
    serials.sort_unstable();
    assert_eq!(serials, (100..120).collect::<Vec<_>>());
}

#[test]
fn blocking_call_delays_no_other_call() {
    let daemon = BlockingDaemon::start(|_| {});
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7), (GET_TYPE, 8)]);
    let blocked = daemon.blocked();
    assert_eq!(reply(&mut client), (8, 0));
    daemon.connect().call(GET_TYPE, &[]);
    drop(blocked);
    assert_eq!(reply(&mut client), (7, 0));
}

#[test]
fn high_priority_call_is_answered_while_all_workers_block() {
    let daemon = BlockingDaemon::start(|config| {
        let max = NonZeroUsize::MIN;
        config.workers = WorkerLimits {
            min: 1,
            max,
            priority: 1,
        };
    });
    let mut first = daemon.connect();
    let mut second = daemon.connect();
    send(&mut first, &[(GET_HOSTNAME, 7)]);
    let blocked = daemon.blocked();
    second.call(GET_TYPE, &[]);
    drop(blocked);
    assert_eq!(reply(&mut first), (7, 0));
}

#[test]
fn answer_to_a_disconnected_client_is_dropped() {
    let daemon = BlockingDaemon::start(|_| {});
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7)]);
    let blocked = daemon.blocked();
    drop(client);
    let mut next = daemon.connect();
    drop(blocked);
    next.call(GET_TYPE, &[]);
    daemon.request_stop();
    daemon.wait().unwrap();
}

#[test]
fn a_driver_that_panics_fails_one_call_only() {
    let daemon = BlockingDaemon::start(|_| {});
    let mut client = daemon.connect();
    send(&mut client, &[(GET_VERSION, 7)]);
    assert_eq!(reply(&mut client), (7, 1));
    client.call(GET_TYPE, &[]);
}

/// libvirtd answers 45 of the 50 (DM-809).
#[test]
fn fifty_half_closed_clients_get_blocking_answers() {
    let daemon = BlockingDaemon::start(|config| {
        config.workers.max = NonZeroUsize::new(50).unwrap();
    });
    let mut clients: Vec<RawClient> = (0..50).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        send(client, &[(GET_HOSTNAME, 7)]);
        client.stream.shutdown(Shutdown::Write).unwrap();
    }
    let blocked: Vec<_> = (0..50).map(|_| daemon.blocked()).collect();
    drop(blocked);
    for client in &mut clients {
        assert_eq!(reply(client), (7, 0));
        assert!(client.is_closed());
    }
}

#[test]
fn half_closed_client_with_a_hung_call_is_closed_in_time() {
    let daemon = BlockingDaemon::start(|config| {
        config.client_limits.max_linger = Duration::from_millis(20);
    });
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7)]);
    let blocked = daemon.blocked();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.is_closed());
    drop(blocked);
}

#[test]
fn calls_that_were_read_are_answered_before_a_stop() {
    let daemon = BlockingDaemon::start(|_| {});
    let mut client = daemon.connect();
    // Five calls in progress, and one that is read and not dispatched.
    let calls: Vec<_> = (1..=6).map(|serial| (GET_HOSTNAME, serial)).collect();
    send(&mut client, &calls);
    let blocked: Vec<_> = (0..5).map(|_| daemon.blocked()).collect();
    daemon.request_stop();
    drop(blocked);
    drop(daemon.blocked());
    let mut serials: Vec<u32> = (0..6).map(|_| reply(&mut client).0).collect();
    serials.sort_unstable();
    assert_eq!(serials, [1, 2, 3, 4, 5, 6]);
    assert!(client.is_closed());
    daemon.wait().unwrap();
}

/// The stop has no limit of its grace, and ends with the call.
#[test]
fn a_stop_waits_for_the_call_of_a_client_that_is_gone() {
    let daemon = BlockingDaemon::start(|config| config.shutdown_grace = Duration::MAX);
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7)]);
    let blocked = daemon.blocked();
    drop(client);
    daemon.request_stop();
    assert!(daemon.process.keeps_running());
    drop(blocked);
    daemon.wait().unwrap();
}

#[test]
fn hung_call_delays_a_stop_no_longer_than_the_grace() {
    let daemon = BlockingDaemon::start(|config| config.shutdown_grace = Duration::from_millis(20));
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7)]);
    let blocked = daemon.blocked();
    daemon.state.shutdown.request();
    assert!(client.is_closed());
    daemon.wait().unwrap();
    drop(blocked);
}

#[test]
fn a_close_waits_for_the_answers_and_nothing_after_it_is_read() {
    let daemon = BlockingDaemon::start(|_| {});
    let mut client = daemon.connect();
    send(
        &mut client,
        &[(GET_HOSTNAME, 7), (CONNECT_CLOSE, 8), (GET_TYPE, 9)],
    );
    let blocked = daemon.blocked();
    assert_eq!(reply(&mut client), (8, 0));
    drop(blocked);
    assert_eq!(reply(&mut client), (7, 0));
    assert!(client.is_closed());
}

/// libvirtd reads no pong while the call blocks, and closes the connection (DM-905).
#[test]
fn an_answering_client_throttled_at_limit_1_survives_keepalive() {
    let daemon = BlockingDaemon::start(|config| {
        config.client_limits.max_client_requests = NonZeroUsize::MIN;
        config.keepalive = Keepalive {
            interval: Some(Duration::from_millis(20)),
            count: 50,
        };
    });
    let mut client = daemon.connect();
    client.call(SUPPORTS_FEATURE, &FEATURE_KEEPALIVE);
    // The second call waits for the first.
    send(&mut client, &[(GET_HOSTNAME, 7), (GET_TYPE, 8)]);
    let blocked = daemon.blocked();
    for _ in 0..100 {
        let (header, _) = client.read_message().expect("a ping");
        assert_eq!(header, PING);
        client.stream.write_all(&pong()).unwrap();
    }
    drop(blocked);
    let mut replies = Vec::new();
    while replies.len() < 2 {
        let (header, _) = client.read_message().expect("a reply");
        if header[0] != KEEPALIVE {
            replies.push(header[4]);
        }
    }
    assert_eq!(replies, [7, 8]);
}

/// DM-807: a disconnect is detected while the client is neither read from nor written to.
#[test]
fn disconnect_of_a_throttled_client_is_detected() {
    let daemon = BlockingDaemon::start(|config| {
        config.client_limits.max_client_requests = NonZeroUsize::MIN;
        config.max_clients = NonZeroUsize::MIN;
        config.max_anonymous_clients = 0;
    });
    let mut client = daemon.connect();
    send(
        &mut client,
        &[(GET_HOSTNAME, 7), (GET_TYPE, 8), (GET_TYPE, 9)],
    );
    let blocked = daemon.blocked();
    drop(client);
    // The limit is one client.
    daemon.connect().call(GET_TYPE, &[]);
    drop(blocked);
}

/// The calls end while the connection reads, or has just read, the end of the input.
#[test]
fn call_that_ends_as_its_client_half_closes_is_answered() {
    let daemon = BlockingDaemon::start(|_| {});
    for round in 0..200_u64 {
        let mut client = daemon.connect();
        send(&mut client, &[(GET_HOSTNAME, 7), (GET_HOSTNAME, 8)]);
        let blocked = [daemon.blocked(), daemon.blocked()];
        let release = thread::spawn(move || {
            for call in blocked {
                // A different moment in each round.
                (0..round * 10).for_each(|_| spin_loop());
                drop(call);
            }
        });
        send(&mut client, &[(GET_TYPE, 9)]);
        client.stream.shutdown(Shutdown::Write).unwrap();
        let mut serials = [(); 3].map(|()| reply(&mut client).0);
        serials.sort_unstable();
        assert_eq!(serials, [7, 8, 9]);
        assert!(client.is_closed());
        release.join().unwrap();
    }
}

/// The calls end while the daemon begins to stop.
#[test]
fn call_that_ends_as_the_daemon_drains_is_answered() {
    for round in 0..30_u64 {
        let daemon = BlockingDaemon::start(|config| config.shutdown_grace = Duration::MAX);
        let mut client = daemon.connect();
        let calls: Vec<_> = (1..=5).map(|serial| (GET_HOSTNAME, serial)).collect();
        send(&mut client, &calls);
        let blocked: Vec<_> = (0..5).map(|_| daemon.blocked()).collect();
        let release = thread::spawn(move || {
            for call in blocked {
                (0..round * 50).for_each(|_| spin_loop());
                drop(call);
            }
        });
        daemon.state.shutdown.request();
        let mut serials = [(); 5].map(|()| reply(&mut client).0);
        serials.sort_unstable();
        assert_eq!(serials, [1, 2, 3, 4, 5]);
        assert!(client.is_closed());
        release.join().unwrap();
        daemon.wait().unwrap();
    }
}

/// The stop has no limit of its grace, and ends because the slot of the client is free.
#[test]
fn panic_on_the_loops_thread_closes_only_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    config.shutdown_grace = Duration::MAX;
    let (mut driver, blocked) = BlockingDriver::new();
    driver.may_block = false;
    let daemon = BlockingDaemon::start_with(dir, config, driver, blocked);
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    send(&mut client, &[(GET_VERSION, 7)]);
    assert!(client.is_closed());
    wait_until("the slot is free", || {
        daemon.state.control.client_counts().served == 1
    });
    other.call(GET_TYPE, &[]);
    daemon.request_stop();
    daemon.wait().unwrap();
}

/// The client's first call blocks the loop's thread until the stop is requested, and its second call panics in the same
/// turn.
#[test]
fn stop_in_the_turn_of_a_panic_ends_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    config.shutdown_grace = Duration::MAX;
    let (mut driver, blocked) = BlockingDriver::new();
    driver.may_block = false;
    let daemon = BlockingDaemon::start_with(dir, config, driver, blocked);
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7), (GET_VERSION, 8)]);
    let resume = daemon.blocked();
    // The second request stops the loop at once.
    daemon.request_stop();
    daemon.request_stop();
    drop(resume);
    daemon.wait().unwrap();
}

#[test]
fn more_workers_of_a_reload_take_the_calls_that_wait() {
    let workers = |max| WorkerLimits {
        min: 1,
        max: NonZeroUsize::new(max).unwrap(),
        priority: 0,
    };
    let daemon = BlockingDaemon::start(|config| config.workers = workers(1));
    let mut clients = [daemon.connect(), daemon.connect()];
    for client in &mut clients {
        send(client, &[(GET_HOSTNAME, 7)]);
    }
    let first = daemon.blocked();
    let mut config = daemon.config.clone();
    config.workers = workers(2);
    let control = &daemon.state.control;
    control.commit(control.prepare(&config, |_| ()).unwrap());
    let second = daemon.blocked();
    drop((first, second));
    for client in &mut clients {
        assert_eq!(reply(client), (7, 0));
    }
}

/// The idle time ends the daemon in order, and does not pass a second time during that end.
#[test]
fn idle_end_waits_for_the_call_of_a_client_that_is_gone() {
    let daemon = BlockingDaemon::start(|config| config.shutdown_grace = Duration::MAX);
    let mut client = daemon.connect();
    send(&mut client, &[(GET_HOSTNAME, 7)]);
    let blocked = daemon.blocked();
    let mut config = daemon.config.clone();
    config.idle_timeout = Some(Duration::from_millis(50));
    let control = &daemon.state.control;
    control.commit(control.prepare(&config, |_| ()).unwrap());
    drop(client);
    let socket = daemon.config.socket_path();
    wait_until("the idle daemon stops", || !socket.exists());
    assert!(daemon.process.keeps_running());
    drop(blocked);
    daemon.wait().unwrap();
}
