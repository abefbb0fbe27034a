//! The daemon on threads of the test's process.

use crate::timeout::TIMEOUT;
use eventryd::driver::Driver;
use eventryd::net::tls::TlsFiles;
use eventryd::net::{ListenAddress, TransportKind};
use eventryd::server::{Config, DaemonError, Ready, TcpService, TlsService, run};
use eventryd::session::Auth;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Returns a TCP service on a free port of the loopback address.
#[must_use]
pub fn loopback_tcp() -> TcpService {
    TcpService {
        address: Some("127.0.0.1".to_owned()),
        port: "0".to_owned(),
        auth: Auth::None,
    }
}

/// Returns a TLS service on a free port of the loopback address.
#[must_use]
pub fn loopback_tls(files: TlsFiles) -> TlsService {
    TlsService {
        address: Some("127.0.0.1".to_owned()),
        port: "0".to_owned(),
        ..TlsService::new(files)
    }
}

/// Returns the address of a TCP or TLS service.
///
/// # Panics
///
/// If the daemon has no endpoint of this transport, or a Unix socket is wanted.
#[must_use]
pub fn address_of(ready: &Ready, transport: TransportKind) -> SocketAddr {
    let mut endpoints = ready.endpoints.iter();
    let found = endpoints.find(|endpoint| endpoint.transport == transport);
    match found.expect("an endpoint of this transport").address {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(_) => panic!("a network endpoint is expected"),
    }
}

/// A daemon on threads of this process.
pub struct InProcess {
    ready: Receiver<Ready>,
    ended: Receiver<Result<(), DaemonError>>,
}

impl InProcess {
    /// Starts a daemon whose driver comes from `initialise_driver`.
    pub fn start(
        config: &Config,
        initialise_driver: impl FnOnce() -> Arc<dyn Driver> + Send + 'static,
    ) -> InProcess {
        let (tell_ready, ready) = channel();
        let (tell_end, ended) = channel();
        let config = config.clone();
        thread::spawn(move || {
            let initialise_driver = || Ok::<_, Infallible>(initialise_driver());
            let on_ready = move |ready| tell_ready.send(ready).unwrap();
            // The test may have failed meanwhile.
            let _ = tell_end.send(run(&config, initialise_driver, on_ready));
        });
        InProcess { ready, ended }
    }

    /// Returns `true` if the daemon has started to serve.
    pub fn is_ready(&self) -> bool {
        self.ready.try_recv().is_ok()
    }

    /// Waits until the daemon serves.
    pub fn ready(&self) -> Ready {
        let ready = self.ready.recv_timeout(TIMEOUT);
        ready.expect("the daemon serves")
    }

    /// Returns `true` if the daemon does not end within 200 ms, which is much longer than an end takes.
    pub fn keeps_running(&self) -> bool {
        let moment = Duration::from_millis(200);
        matches!(
            self.ended.recv_timeout(moment),
            Err(RecvTimeoutError::Timeout)
        )
    }

    /// Waits for the end of the daemon.
    pub fn wait(self) -> Result<(), DaemonError> {
        let ended = self.ended.recv_timeout(TIMEOUT);
        ended.expect("the daemon ends")
    }
}
