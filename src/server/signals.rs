//! Signals as events of the loop.
//!
//! A handler may do next to nothing (EV-1107): it writes a byte to a pipe, whose other end is a handle
//! like any other.

use super::Shutdown;
use crate::events::Events;
use crate::registry::Registry;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

/// Signals that are watched as long as this lives.
#[derive(Debug)]
pub(super) struct Watched(Vec<SigId>);

/// Lets SIGINT, SIGQUIT and SIGTERM stop the daemon (DM-1301). SIGHUP, which would end the process without
/// a trace, is only noted: there is no configuration to read again yet.
pub(super) fn watch(registry: &Registry, shutdown: &Shutdown) -> io::Result<Watched> {
    let mut watched = Watched(Vec::new());
    let shutdown = shutdown.clone();
    watched.add(registry, &[SIGINT, SIGQUIT, SIGTERM], move || {
        tracing::info!("stopping on a signal; another one stops at once");
        shutdown.request();
    })?;
    watched.add(registry, &[SIGHUP], || {
        tracing::info!("SIGHUP ignored: there is no configuration to read again");
    })?;
    Ok(watched)
}

impl Watched {
    /// Calls `react` once for each signal received.
    fn add(
        &mut self,
        registry: &Registry,
        signals: &[i32],
        mut react: impl FnMut() + Send + 'static,
    ) -> io::Result<()> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        for signal in signals {
            self.0.push(pipe::register(*signal, writer.try_clone()?)?);
        }
        let added = registry.add_handle(reader, Events::READABLE, move |event| {
            let mut received = [0; 16];
            let mut reader: &UnixStream = event.source;
            // Spurious readiness reads nothing.
            let count = reader.read(&mut received).unwrap_or(0);
            for _ in 0..count {
                react();
            }
        });
        added.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            unregister(id);
        }
    }
}
