//! `errno` for C callers.

use std::ffi::c_int;
use std::io;

/// An error number of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(c_int);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno { $(pub(super) const $name: Errno = Errno(rustix::io::Errno::$name.raw_os_error());)* }
    };
}

errnos! { BADF BUSY DEADLK INVAL IO NOMEM NOSPC PERM SHUTDOWN }

impl Errno {
    /// Returns the number of an error, or `EIO` if it has none.
    pub(super) fn of(error: &io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::IO, Errno)
    }
}

/// Returns the value, or −1 with `errno` set (EV-1204).
pub(super) fn return_value(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|Errno(number)| {
        // SAFETY: `errno` is a valid variable of the current thread.
        unsafe { *errno_location() = number };
        -1
    })
}

unsafe extern "C" {
    #[cfg_attr(
        any(target_os = "macos", target_os = "ios", target_os = "freebsd"),
        link_name = "__error"
    )]
    #[cfg_attr(
        any(target_os = "android", target_os = "netbsd", target_os = "openbsd"),
        link_name = "__errno"
    )]
    #[cfg_attr(
        any(target_os = "linux", target_os = "emscripten"),
        link_name = "__errno_location"
    )]
    fn errno_location() -> *mut c_int;
}

/// Returns `errno`.
#[cfg(test)]
pub(super) fn last() -> Errno {
    Errno::of(&io::Error::last_os_error())
}
