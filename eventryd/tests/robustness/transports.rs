//! A daemon with three transports.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use test_support::client::{RawClient, Stream};
use test_support::daemon::Daemon;
use test_support::rpc::GET_HOSTNAME;
use test_support::timeout::{TIMEOUT, wait_until};
use test_support::tls::{Tls, Version, client_config, committed_files, lines_naming};

/// The transport of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
    Tls,
}

pub(crate) const TRANSPORTS: [Transport; 3] = [Transport::Unix, Transport::Tcp, Transport::Tls];

/// A client on any transport.
pub(crate) type Client = RawClient<Box<dyn Stream + Send>>;

/// A daemon that listens on all transports and logs everything to a file.
pub(crate) struct TestDaemon {
    pub(crate) daemon: Daemon,
    log: PathBuf,
    /// The first client of the daemon, and the number of its calls. It exists once the log is read.
    probe: RefCell<Option<(RawClient, u32)>>,
}

impl TestDaemon {
    pub(crate) fn start(more: &str) -> TestDaemon {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("eventryd.conf"), dir.path().join("log"));
        let text = format!(
            "listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n\
             listen_tcp = 1\ntcp_port = \"0\"\nauth_tcp = \"none\"\n\
             log_outputs = \"1:file:{}\"\nlog_level = 1\neventry_log_burst = 0\n{}{more}",
            log.display(),
            lines_naming(&committed_files()),
        );
        fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let daemon = Daemon::start_in(dir, &["--config", &file]);
        let probe = RefCell::default();
        TestDaemon { daemon, log, probe }
    }

    /// Connects without a TLS handshake.
    pub(crate) fn dial(&self, transport: Transport) -> Client {
        let stream: Box<dyn Stream + Send> = match transport {
            Transport::Unix => Box::new(UnixStream::connect(self.daemon.socket()).unwrap()),
            Transport::Tcp => Box::new(self.dial_tcp("TCP")),
            Transport::Tls => Box::new(self.dial_tcp("TLS")),
        };
        RawClient::over(stream)
    }

    pub(crate) fn dial_tcp(&self, kind: &str) -> TcpStream {
        let stream = TcpStream::connect(self.daemon.addresses(kind)[0]).unwrap();
        stream.set_timeout(TIMEOUT).unwrap();
        stream
    }

    /// Connects, with a complete handshake on TLS.
    pub(crate) fn connect(&self, transport: Transport) -> Client {
        match transport {
            Transport::Unix | Transport::Tcp => self.dial(transport),
            Transport::Tls => {
                let config = client_config(&committed_files(), Version::Tls13, true);
                let mut stream = Tls::over(self.dial_tcp("TLS"), config);
                let mut welcome = [0];
                stream.read_exact(&mut welcome).unwrap();
                assert_eq!(welcome, [1]);
                RawClient::over(Box::new(stream))
            }
        }
    }

    /// Connects, and opens `test:///default`.
    pub(crate) fn open(&self, transport: Transport) -> Client {
        let mut client = self.connect(transport);
        client.open();
        client
    }

    /// Returns the log so far. It must be read for the first time before any client connects.
    ///
    /// The daemon does not wait for the file, so a call of a client of its own is the last line.
    pub(crate) fn log(&self) -> String {
        let mut probe = self.probe.borrow_mut();
        let (client, calls) = probe.get_or_insert_with(|| {
            let mut client = RawClient::connect(&self.daemon.socket());
            client.open();
            (client, 1)
        });
        client.call(GET_HOSTNAME, &[]);
        *calls += 1;
        let last = format!(": client 1: call {calls} ");
        let mut log = String::new();
        wait_until("the call is logged", || {
            log = fs::read_to_string(&self.log).unwrap();
            log.contains(&last)
        });
        log
    }
}
