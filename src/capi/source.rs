//! Descriptors of the caller.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// The number of a descriptor. The library neither closes it nor changes its flags (EV-1006).
///
/// The caller keeps it open until the handle is removed. The number is used only to add, change and end the
/// registration with the kernel. If the caller closes it earlier, these operations fail or affect the file
/// that has the number now, without undefined behaviour.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSource(RawFd);

impl RawSource {
    /// Returns the descriptor with this number, if it is open (EV-208).
    pub(super) fn open(fd: RawFd) -> Option<RawSource> {
        let source = (fd >= 0).then_some(RawSource(fd))?;
        rustix::io::fcntl_getfd(source.as_fd()).ok()?;
        Some(source)
    }
}

impl AsFd for RawSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the number is not −1, and the caller keeps it open while it is registered. The only earlier
        // use checks that it is open.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}
