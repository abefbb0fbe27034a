//! The hard limit `max_clients` under four times as many connections over Unix sockets, TCP and TLS at once. The test
//! has its own process, because it raises the limit of open files.

#![cfg(not(loom))]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock limits only the time that a broken test hangs"
)]

use eventryd::driver::MemoryDriver;
use eventryd::net::{RunDir, TransportKind};
use eventryd::server::{Config, Control};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use test_support::in_process::{InProcess, address_of, loopback_tcp, loopback_tls};
use test_support::rpc::{CONNECT_OPEN, GET_HOSTNAME, message, open_arguments};
use test_support::tls::{Version, client_config, committed_files, server_name};

/// The longest time for all clients of one limit, on a slow machine.
const LONGEST: Duration = Duration::from_secs(240);

/// The number of threads with clients.
const THREADS: usize = 8;

/// The places where clients connect.
struct Target {
    unix: PathBuf,
    tcp: std::net::SocketAddr,
    tls: std::net::SocketAddr,
    tls_config: Arc<ClientConfig>,
    max_clients: usize,
    /// The number of clients that have a reply and are still open.
    served: AtomicUsize,
    /// The number of clients that wait for their first reply.
    pending: AtomicUsize,
    most_served: AtomicUsize,
}

enum Transport {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

struct Client {
    index: usize,
    transport: Transport,
    received: Vec<u8>,
}

impl Transport {
    fn stream(&mut self) -> &mut (dyn ReadWrite + '_) {
        match self {
            Transport::Unix(stream) => stream,
            Transport::Tcp(stream) => stream,
            Transport::Tls(stream) => &mut **stream,
        }
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.transport {
            Transport::Unix(stream) => stream.as_fd(),
            Transport::Tcp(stream) => stream.as_fd(),
            Transport::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

impl Client {
    /// Connects, and sends a call. Every second client is local; the others are on TCP and TLS.
    fn connect(target: &Target, index: usize) -> Client {
        let transport = match index % 4 {
            0 | 1 => {
                let stream = UnixStream::connect(&target.unix).unwrap();
                stream.set_nonblocking(true).unwrap();
                Transport::Unix(stream)
            }
            other => {
                let is_tls = other == 2;
                let address = if is_tls { target.tls } else { target.tcp };
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nonblocking(true).unwrap();
                if is_tls {
                    let config = Arc::clone(&target.tls_config);
                    let connection = ClientConnection::new(config, server_name()).unwrap();
                    Transport::Tls(Box::new(StreamOwned::new(connection, stream)))
                } else {
                    Transport::Tcp(stream)
                }
            }
        };
        let mut client = Client {
            index,
            transport,
            received: Vec::new(),
        };
        client.send(&message(CONNECT_OPEN, 1, &open_arguments()));
        client
    }

    /// Sends a message, which is short enough for every buffer.
    fn send(&mut self, message: &[u8]) {
        // Before the handshake, rustls keeps the message.
        let sent = match &mut self.transport {
            Transport::Tls(stream) => {
                let written = stream.conn.writer().write_all(message);
                let _ = stream.conn.write_tls(&mut stream.sock);
                written
            }
            other => other.stream().write_all(message),
        };
        // The daemon may have closed a client without a slot.
        let _ = sent;
    }

    /// Reads what has arrived; returns `true` if a reply is complete, and an error at the end of the connection.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 512];
        loop {
            match self.transport.stream().read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        // A byte of the server confirms the handshake.
        let welcome = usize::from(matches!(self.transport, Transport::Tls(_)));
        let Some(reply) = self.received.get(welcome..) else {
            return Ok(false);
        };
        let Some((length, _)) = reply.split_first_chunk::<4>() else {
            return Ok(false);
        };
        Ok(reply.len() >= u32::from_be_bytes(*length) as usize)
    }

    /// Makes another call, which a served client can always do.
    fn call_again(&mut self, begun: Instant) {
        let welcome = usize::from(matches!(self.transport, Transport::Tls(_)));
        self.received.truncate(welcome);
        self.send(&message(GET_HOSTNAME, 2, &[]));
        while !self.receive().expect("a served client stays open") {
            assert!(
                begun.elapsed() < LONGEST,
                "client {} is starved",
                self.index
            );
            wait(&[&*self]);
        }
    }
}

/// Waits until a client is readable, or for a moment.
fn wait(clients: &[&Client]) -> usize {
    let mut fds: Vec<_> = clients
        .iter()
        .map(|client| PollFd::new(*client, PollFlags::IN))
        .collect();
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    poll(&mut fds, Some(&moment)).unwrap_or(0)
}

/// Runs the clients with these numbers until each was served. They connect at once; a served client stays until all
/// slots are taken.
fn run_clients(target: &Target, numbers: impl Iterator<Item = usize>) {
    let begun = Instant::now();
    let mut pending: Vec<_> = numbers
        .map(|index| Client::connect(target, index))
        .collect();
    let mut held: Vec<Client> = Vec::new();
    while !(pending.is_empty() && held.is_empty()) {
        assert!(
            begun.elapsed() < LONGEST,
            "{} clients are starved",
            pending.len()
        );
        let ready = wait(&pending.iter().collect::<Vec<_>>());
        let mut waiting = Vec::new();
        for mut client in pending {
            match client.receive() {
                Ok(true) => {
                    let served = target.served.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(served <= target.max_clients, "{served} are served");
                    target.most_served.fetch_max(served, Ordering::SeqCst);
                    target.pending.fetch_sub(1, Ordering::SeqCst);
                    held.push(client);
                }
                Ok(false) => waiting.push(client),
                Err(error) => {
                    // Only a client that has neither authenticated nor got a reply may be closed. It tries again.
                    assert_eq!(client.received, [], "client {}: {error}", client.index);
                    waiting.push(Client::connect(target, client.index));
                }
            }
        }
        pending = waiting;
        let is_full = target.served.load(Ordering::SeqCst) + 2 * (target.max_clients / 32).max(1)
            >= target.max_clients;
        let is_last = target.pending.load(Ordering::SeqCst) == 0;
        if is_full || is_last || ready == 0 {
            for mut client in held.drain(..held.len().div_ceil(4)) {
                client.call_again(begun);
                // Counted before the close, so that the count is never too large.
                target.served.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

/// Compares the counters of the daemon with the limit until told to end. Returns the number of samples.
fn sample(control: &Control, max_clients: usize, is_over: &AtomicBool) -> usize {
    let mut samples = 0;
    while !is_over.load(Ordering::Relaxed) {
        let counts = control.client_counts();
        assert!(counts.served <= max_clients, "{counts:?}");
        samples += 1;
        thread::yield_now();
    }
    samples
}

fn overload(max_clients: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(RunDir::Chosen(dir.path().to_owned()));
    config.max_clients = NonZeroUsize::new(max_clients).unwrap();
    config.max_anonymous_clients = max_clients.min(20);
    config.max_queued_clients = 4_096;
    config.tcp = Some(loopback_tcp());
    config.tls = Some(loopback_tls(committed_files()));
    let daemon = InProcess::start(&config, || Arc::new(MemoryDriver::new()));
    let ready = daemon.ready();
    let clients = 4 * max_clients;
    let target = Target {
        unix: config.socket_path(),
        tcp: address_of(&ready, TransportKind::Tcp),
        tls: address_of(&ready, TransportKind::Tls),
        tls_config: client_config(&committed_files(), Version::Tls13, true),
        max_clients,
        served: AtomicUsize::new(0),
        pending: AtomicUsize::new(clients),
        most_served: AtomicUsize::new(0),
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&ready.control, max_clients, &is_over));
        let target = &target;
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || run_clients(target, (first..clients).step_by(THREADS)))
            })
            .collect();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(sampler.join().unwrap() > 0);
        assert!(ends.iter().all(Result::is_ok));
    });
    let reserved = if max_clients < 8 {
        0
    } else {
        2 * (max_clients / 32).max(1)
    };
    let range = max_clients - reserved..=max_clients;
    let most = ready.control.client_counts().most_served;
    assert!(range.contains(&most), "at most {most} were served");
    let seen = target.most_served.load(Ordering::SeqCst);
    assert!(seen <= most, "{seen} clients had a reply, {most} a slot");
    ready.shutdown.request();
    daemon.wait().unwrap();
}

#[test]
fn four_times_max_clients_are_served_within_the_limit() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    for max_clients in [1, 10, 1_000] {
        // Both ends of each connection are in this process.
        let needed = 8 * max_clients + 200;
        assert!(
            hard.is_none_or(|hard| hard >= needed as u64),
            "the hard limit of open files must be at least {needed} (ulimit -Hn)"
        );
        overload(max_clients);
    }
}
