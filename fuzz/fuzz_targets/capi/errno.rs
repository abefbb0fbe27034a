//! The error number of this thread.

use std::ffi::c_int;

pub(crate) const EBADF: c_int = 9;
pub(crate) const EBUSY: c_int = 16;
pub(crate) const EINVAL: c_int = 22;
pub(crate) const EDEADLK: c_int = 35;

/// What `call` returns and, if that is −1, what it sets the number to.
pub(crate) fn of(call: impl FnOnce() -> c_int) -> Result<c_int, c_int> {
    clear();
    match call() {
        -1 => Err(current()),
        value => Ok(value),
    }
}

/// What a function that returns nothing sets the number to; 0 if it does not.
pub(crate) fn after(call: impl FnOnce()) -> c_int {
    clear();
    call();
    current()
}

fn current() -> c_int {
    std::io::Error::last_os_error()
        .raw_os_error()
        .expect("it has a number")
}

fn clear() {
    // SAFETY: the C library gives each thread a place of its own that stays valid while it lives.
    unsafe { *__errno_location() = 0 };
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}
