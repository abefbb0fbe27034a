//! The descriptor that wakes a poller.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An eventfd that is readable after a wake, non-blocking and close-on-exec (EV-1006).
#[derive(Debug)]
pub(super) struct WakeFd(OwnedFd);

impl WakeFd {
    pub(super) fn new() -> io::Result<WakeFd> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(WakeFd(eventfd(0, flags)?))
    }

    /// Ends the current wait, or else the next one. Signal handlers may call it.
    pub(super) fn wake(&self) -> io::Result<()> {
        let wake = || write(&self.0, &1_u64.to_ne_bytes());
        match wake() {
            // The counter is at its maximum. It is reset, so that this write is an edge for epoll.
            Err(Errno::AGAIN) => {
                self.drain();
                wake()?;
            }
            result => drop(result?),
        }
        Ok(())
    }

    /// Resets the counter.
    pub(super) fn drain(&self) {
        // Fails with `EAGAIN` if the counter is 0.
        let _ = read(&self.0, &mut [0_u8; 8]);
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
