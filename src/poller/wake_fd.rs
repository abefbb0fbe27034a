//! The descriptor that ends a wait.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A counter in the kernel that is readable once somebody has woken the poller. It neither blocks nor is
/// inherited (EV-1006).
#[derive(Debug)]
pub(super) struct WakeFd(OwnedFd);

impl WakeFd {
    pub(super) fn new() -> io::Result<WakeFd> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(WakeFd(eventfd(0, flags)?))
    }

    /// Ends the wait that runs, or else the next one. Signal handlers may call it.
    pub(super) fn wake(&self) -> io::Result<()> {
        let wake = || write(&self.0, &1_u64.to_ne_bytes());
        match wake() {
            // Full with wakes: they are taken back, so that this one is news to whoever waits for a change.
            Err(Errno::AGAIN) => {
                self.drain();
                wake()?;
            }
            result => drop(result?),
        }
        Ok(())
    }

    /// Takes back all wakes that were sent.
    pub(super) fn drain(&self) {
        // Nothing is there if it was not a wake that was reported.
        let _ = read(&self.0, &mut [0_u8; 8]);
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
