//! Descriptors of the caller.

use std::os::fd::{BorrowedFd, RawFd};

/// The number from which on descriptors are checked: the kernel's default for the number that no descriptor reaches
/// (`fs.nr_open`). The table has a record for each number up to the largest one.
pub(super) const CHECKED_FROM: RawFd = 1 << 20;

/// Returns the descriptor with this number, which the library neither closes nor changes (EV-1006). Returns `None` for
/// a negative number, and for one of at least [`CHECKED_FROM`] that is not open (EV-208).
///
/// The check is a system call that takes as long as an addition and a removal together. A smaller number that is not
/// open is found by the poller, and the handle is called with [`Events::ERROR`](crate::Events::ERROR) (EV-1001).
pub(super) fn descriptor(fd: RawFd) -> Option<BorrowedFd<'static>> {
    if fd < 0 {
        return None;
    }
    // SAFETY: the number is not −1, and the caller keeps it open while it is registered. The number is used only to add,
    // change and end the registration with the kernel. If it is not open, these operations fail or affect the file that
    // has the number now, without undefined behaviour.
    let descriptor = unsafe { BorrowedFd::borrow_raw(fd) };
    let is_accepted = fd < CHECKED_FROM || rustix::io::fcntl_getfd(descriptor).is_ok();
    is_accepted.then_some(descriptor)
}
