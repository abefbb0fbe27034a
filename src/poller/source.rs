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
pub struct OsSource(Owner);

/// The owner of an open descriptor.
#[derive(Clone)]
enum Owner {
    Shared(Arc<dyn AsFd + Send + Sync>),
    /// The descriptor stays open on its own.
    Borrowed(BorrowedFd<'static>),
}

impl OsSource {
    /// Creates a source that stays open until its handle is freed.
    pub fn new(source: impl AsFd + Send + Sync + 'static) -> OsSource {
        OsSource(Owner::Shared(Arc::new(source)))
    }

    /// Creates a source from a descriptor that stays open until the process ends, without an allocation.
    ///
    /// ```
    /// use eventry::poller::OsSource;
    /// use eventry::{EventLoop, Events};
    /// use std::io::stdin;
    /// use std::os::fd::AsFd;
    ///
    /// let event_loop = EventLoop::new()?;
    /// // A reference to the standard input that stays valid as long as the process runs.
    /// let stdin: &'static _ = Box::leak(Box::new(stdin()));
    /// event_loop.registry().add_source(OsSource::borrowed(stdin.as_fd()), Events::READABLE, |_| {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn borrowed(source: BorrowedFd<'static>) -> OsSource {
        OsSource(Owner::Borrowed(source))
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
        OsSource::from(source as Arc<dyn AsFd + Send + Sync>)
    }

    /// Returns `true` if the drop of this source does not close its descriptor while `other` exists: both refer to one
    /// value, or this one is borrowed.
    pub(super) fn is_kept_by(&self, other: &OsSource) -> bool {
        match (&self.0, &other.0) {
            (Owner::Shared(source), Owner::Shared(other)) => Arc::ptr_eq(source, other),
            (Owner::Shared(_), Owner::Borrowed(_)) => false,
            (Owner::Borrowed(_), _) => true,
        }
    }
}

impl From<Arc<dyn AsFd + Send + Sync>> for OsSource {
    fn from(source: Arc<dyn AsFd + Send + Sync>) -> OsSource {
        OsSource(Owner::Shared(source))
    }
}

impl AsFd for OsSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Owner::Shared(source) => source.as_fd(),
            Owner::Borrowed(source) => *source,
        }
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
