//! The descriptors of [`OsPoller`](super::OsPoller).

use super::Source;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// An open descriptor, shared by the table, the poller and its users.
///
/// If several handles with different sources watch one descriptor, a poller may keep the source of its
/// registration until the last of these handles is removed.
#[derive(Clone)]
pub struct OsSource(Arc<dyn AsFd + Send + Sync>);

impl OsSource {
    /// Creates a source that stays open until its handle is freed.
    pub fn new(source: impl AsFd + Send + Sync + 'static) -> OsSource {
        OsSource(Arc::new(source))
    }

    /// Creates a source from a descriptor that is shared already.
    ///
    /// ```
    /// use eventry::poller::OsSource;
    /// use eventry::{EventLoop, Events};
    /// use std::net::UdpSocket;
    /// use std::sync::Arc;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let socket = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    /// let source = OsSource::shared(Arc::clone(&socket));
    /// event_loop.registry().add_source(source, Events::READABLE, |_| {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shared<S: AsFd + Send + Sync + 'static>(source: Arc<S>) -> OsSource {
        OsSource(source)
    }

    /// Returns `true` if both refer to one value, so that the drop of one of them does not close it.
    pub(super) fn ptr_eq(&self, other: &OsSource) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl AsFd for OsSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for OsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OsSource").field(&self.fd()).finish()
    }
}

impl Source for OsSource {
    fn fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
