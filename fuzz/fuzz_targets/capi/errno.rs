//! Access to `errno`.

use std::ffi::c_int;

pub(crate) const EBADF: c_int = 9;
pub(crate) const EBUSY: c_int = 16;
pub(crate) const EINVAL: c_int = 22;
pub(crate) const EDEADLK: c_int = 35;

/// Returns the result of `call`, or `errno` if it is −1.
pub(crate) fn of(call: impl FnOnce() -> c_int) -> Result<c_int, c_int> {
    clear();
    match call() {
        -1 => Err(current()),
        value => Ok(value),
    }
}

/// Returns `errno` after a function without a result; 0 if it did not set it.
pub(crate) fn after(call: impl FnOnce()) -> c_int {
    clear();
    call();
    current()
}

fn current() -> c_int {
    std::io::Error::last_os_error()
        .raw_os_error()
        .expect("an OS error has a number")
}

fn clear() {
    // SAFETY: the pointer is to the `errno` of this thread, which is valid while the thread lives.
    unsafe { *__errno_location() = 0 };
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}
