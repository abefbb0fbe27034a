//! A descriptor that belongs to the caller.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// A descriptor by its number. It is never closed here, and its flags are never changed (EV-1006).
///
/// The caller keeps it open until the handle has been removed. The number is used to register, to change
/// and to end the registration with the kernel, never afterwards; if the caller breaks his promise these
/// fail, or hit the file that has the number now, which concerns no memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSource(RawFd);

impl RawSource {
    /// The descriptor with this number, if there is one now (EV-208).
    pub(super) fn open(fd: RawFd) -> Option<RawSource> {
        let source = (fd >= 0).then_some(RawSource(fd))?;
        rustix::io::fcntl_getfd(source.as_fd()).ok()?;
        Some(source)
    }
}

impl AsFd for RawSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the number is not −1, and the caller keeps it open while it is registered; the only use
        // before that asks whether it is open.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}
