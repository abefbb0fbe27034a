//! Signals as events of the loop.
//!
//! A handler may do next to nothing (EV-1107): it writes a byte to a pipe, whose other end is a handle
//! like any other. They are caught before there is a loop, so that a signal that comes while the daemon
//! starts is not lost, nor ends the process without a trace.

use super::{Control, Shutdown};
use eventry::Events;
use eventry::Registry;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

/// Signals that are caught as long as this lives.
#[derive(Debug)]
pub struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    _caught: Caught,
}

/// What a process does as a daemon, beside serving: signals are its own, and somebody may want to know what
/// it is about to do.
pub struct Process {
    /// SIGINT, SIGQUIT and SIGTERM stop the daemon (DM-1301).
    pub signals: Signals,
    /// Called for each SIGHUP, on the loop's thread.
    pub on_reload: Box<dyn FnMut(&Control) + Send>,
    /// Called when the daemon begins to stop, on the loop's thread.
    pub on_stop: Box<dyn FnOnce() + Send>,
}

#[derive(Debug)]
struct Caught(Vec<SigId>);

impl Signals {
    /// Catches SIGINT, SIGQUIT, SIGTERM and SIGHUP from now on. They take effect when
    /// [`run_process`](super::run_process) has its loop.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn catch() -> io::Result<Signals> {
        let mut caught = Caught(Vec::new());
        Ok(Signals {
            stop: caught.add(&[SIGINT, SIGQUIT, SIGTERM])?,
            reload: caught.add(&[SIGHUP])?,
            _caught: caught,
        })
    }
}

impl Caught {
    /// Where a byte comes for each of these signals.
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

impl Process {
    /// Makes the signals events of the loop, those included that came before. What is returned keeps them
    /// caught.
    pub(super) fn watch(
        self,
        registry: &Registry,
        shutdown: &Shutdown,
        control: Control,
    ) -> io::Result<impl Drop + use<>> {
        let Process {
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
        // Spurious readiness reads nothing.
        let count = reader.read(&mut received).unwrap_or(0);
        for _ in 0..count {
            react();
        }
    });
    added
        .map(|_| ())
        .map_err(|error| io::Error::other(error.to_string()))
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("signals", &self.signals)
            .finish_non_exhaustive()
    }
}
