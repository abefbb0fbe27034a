//! Notifications to the service manager (sd_notify(3)).

use crate::output::{OutputTarget, OutputWriter};
use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Capacity of the queue, in bytes: more than a hundred notifications.
const QUEUE_CAPACITY: usize = 16 * 1024;

/// Longest wait for the service manager at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Service manager at `$NOTIFY_SOCKET`, if there is one (DM-109). Its socket has a writer of its own, so a full one
/// delays nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager {
    writer: Option<Arc<OutputWriter>>,
    /// Set when the start is complete. A reload before that sends no notification.
    is_started: Arc<AtomicBool>,
}

/// Socket of the service manager.
struct ManagerSocket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// Returns the service manager that the environment names. An address that cannot be used is logged.
    pub(super) fn from_environment() -> ServiceManager {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return ServiceManager::default();
        };
        match open_writer(&name) {
            Ok(writer) => ServiceManager {
                writer: Some(Arc::new(writer)),
                is_started: Arc::default(),
            },
            Err(error) => {
                tracing::warn!("cannot notify the service manager at {name:?}: {error}");
                ServiceManager::default()
            }
        }
    }

    /// Notifies that the start is complete.
    pub(super) fn notify_started(&self) {
        self.is_started.store(true, Ordering::Release);
        self.notify_ready();
    }

    pub(super) fn notify_ready(&self) {
        if self.is_started.load(Ordering::Acquire) {
            self.notify("READY=1\n".to_owned());
        }
    }

    pub(super) fn notify_reloading(&self) {
        if self.is_started.load(Ordering::Acquire) {
            // The clock is past its origin, so the conversion does not fail.
            let now: Duration = clock_gettime(ClockId::Monotonic)
                .try_into()
                .unwrap_or_default();
            let micros = now.as_micros();
            self.notify(format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
        }
    }

    /// Notifies that the daemon stops, which may take `grace` and a margin.
    pub(super) fn notify_stopping(&self, grace: Duration) {
        /// Time for the shutdown after the last client.
        const MARGIN: Duration = Duration::from_secs(5);
        let micros = grace.saturating_add(MARGIN).as_micros();
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        self.notify(format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\n"));
    }

    /// Waits until the notifications are sent, for 0.5 s at most.
    pub(super) fn flush(&self) {
        let unsent = self
            .writer
            .as_ref()
            .map_or(0, |writer| writer.flush(FLUSH_TIMEOUT));
        if let Some(warning) = unsent_text(unsent) {
            tracing::warn!("{warning}");
        }
    }

    fn notify(&self, message: String) {
        if let Some(writer) = &self.writer {
            writer.push(message.into_bytes());
        }
    }
}

fn unsent_text(unsent: u64) -> Option<String> {
    (unsent > 0)
        .then(|| format!("{unsent} notifications lost: the service manager did not read them"))
}

fn open_writer(name: &OsStr) -> io::Result<OutputWriter> {
    let target = ManagerSocket {
        socket: UnixDatagram::unbound()?,
        address: address_of(name)?,
    };
    OutputWriter::start("notify", QUEUE_CAPACITY, target)
}

/// Returns the address of a socket with a path, or of an abstract one if the name begins with `@`.
fn address_of(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "NOTIFY_SOCKET must be an absolute path, or @ and a name",
        )),
    }
}

impl OutputTarget for ManagerSocket {
    fn write(&mut self, message: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to_addr(message, &self.address);
        if let Err(error) = &sent {
            tracing::warn!("cannot notify the service manager: {error}");
        }
        sent.map(drop)
    }

    fn report_lost(&mut self, messages: u64) -> io::Result<()> {
        tracing::warn!("{messages} notifications to the service manager lost");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsent_notifications_are_a_warning() {
        assert_eq!(unsent_text(0), None);
        assert!(unsent_text(2).unwrap().starts_with("2 notifications lost"));
    }

    #[test]
    fn address_is_a_path_or_an_abstract_name() {
        let path = address_of(OsStr::new("/run/notify")).unwrap();
        assert_eq!(path.as_pathname(), Some("/run/notify".as_ref()));
        let name = address_of(OsStr::new("@a/b")).unwrap();
        assert_eq!(name.as_abstract_name(), Some(&b"a/b"[..]));
        for bad in ["notify", "@", "vsock:2:1"] {
            assert!(address_of(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
