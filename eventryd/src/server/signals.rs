//! Signals as events of the loop.
//!
//! A signal handler may call few functions (EV-1107). It writes a byte to a pipe whose other end is a handle of the
//! loop. Signals are caught before the loop exists, so that a signal during the start is not lost and does not end
//! the process.

use super::control::Control;
use super::shutdown::Shutdown;
use eventry::Events;
use eventry::Registry;
use rustix::net::{RecvFlags, recv};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

/// Signals that are caught until this value is dropped.
#[derive(Debug)]
pub struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    _caught: Caught,
}

/// The hooks of the process: its signals, and the functions for reload and stop.
pub struct ProcessHooks {
    /// SIGINT, SIGQUIT and SIGTERM stop the daemon (DM-1301).
    pub signals: Signals,
    /// Called for each SIGHUP, on the loop's thread. It must not block: [`Control::run_on_loop`] receives the result of
    /// another thread.
    pub on_reload: Box<dyn FnMut(&Control) + Send>,
    /// Called at the first request to stop, on the thread that makes the request. For a signal, that is the loop's
    /// thread.
    pub on_stop: Box<dyn FnOnce() + Send>,
}

#[derive(Debug)]
struct Caught(Vec<SigId>);

impl Signals {
    /// Catches SIGINT, SIGQUIT, SIGTERM and SIGHUP. [`run_process`](super::run_process) handles them.
    ///
    /// # Errors
    ///
    /// The errors of the operating system.
    pub fn catch() -> io::Result<Signals> {
        let mut caught = Caught(Vec::new());
        Ok(Signals {
            stop: caught.add(&[SIGINT, SIGQUIT, SIGTERM])?,
            reload: caught.add(&[SIGHUP])?,
            _caught: caught,
        })
    }

    /// Returns `true` if SIGINT, SIGQUIT or SIGTERM was received already.
    #[must_use]
    pub fn is_stop_requested(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = recv(&self.stop, &mut [0; 1], flags);
        peeked.is_ok_and(|(count, _)| count > 0)
    }
}

impl Caught {
    /// Catches signals, and returns the pipe that gets a byte for each.
    fn add(&mut self, signals: &[i32]) -> io::Result<UnixStream> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        for signal in signals {
            self.0.push(pipe::register(*signal, writer.try_clone()?)?);
        }
        Ok(reader)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            unregister(id);
        }
    }
}

impl ProcessHooks {
    /// Adds the pipe to the loop. Earlier signals are handled, too. The signals are caught until the returned value is
    /// dropped.
    pub(super) fn watch(
        self,
        registry: &Registry,
        shutdown: &Shutdown,
        control: Control,
    ) -> io::Result<impl Drop + use<>> {
        let ProcessHooks {
            signals,
            mut on_reload,
            on_stop,
        } = self;
        let shutdown = shutdown.clone();
        shutdown.on_request(on_stop);
        react(registry, signals.stop, move || {
            tracing::info!("stopping on a signal; another one stops at once");
            shutdown.request();
        })?;
        react(registry, signals.reload, move || on_reload(&control))?;
        Ok(signals._caught)
    }
}

/// Calls `react` once for each signal received.
fn react(
    registry: &Registry,
    reader: UnixStream,
    mut react: impl FnMut() + Send + 'static,
) -> io::Result<()> {
    let added = registry.add_handle(reader, Events::READABLE, move |event| {
        let mut received = [0; 16];
        let mut reader: &UnixStream = event.source;
        // Nothing is read after spurious readiness.
        let count = reader.read(&mut received).unwrap_or(0);
        for _ in 0..count {
            react();
        }
    });
    added
        .map(|_| ())
        .map_err(|error| io::Error::other(error.to_string()))
}

impl fmt::Debug for ProcessHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHooks")
            .field("signals", &self.signals)
            .finish_non_exhaustive()
    }
}
