//! The cancellation of the calling thread, which waits until the library has returned.

#[cfg(not(target_os = "android"))]
use std::ffi::c_int;

/// Disables the cancellation of the current thread, as long as it exists.
///
/// A callback may reach a cancellation point. `pthread_cancel` would unwind the frames of this library there, which ends
/// the process. A cancellation that was requested meanwhile acts at the next cancellation point after the drop.
#[derive(Debug)]
pub(super) struct CancelDisabled {
    /// The state before.
    #[cfg(not(target_os = "android"))]
    before: c_int,
}

// Android's C library has no cancellation.
#[cfg(target_os = "android")]
impl CancelDisabled {
    pub(super) fn new() -> CancelDisabled {
        CancelDisabled {}
    }
}

#[cfg(not(target_os = "android"))]
impl CancelDisabled {
    pub(super) fn new() -> CancelDisabled {
        CancelDisabled {
            before: set_cancel_state(PTHREAD_CANCEL_DISABLE),
        }
    }
}

#[cfg(not(target_os = "android"))]
impl Drop for CancelDisabled {
    fn drop(&mut self) {
        set_cancel_state(self.before);
    }
}

/// The value in `pthread.h`.
#[cfg(not(target_os = "android"))]
pub(super) const PTHREAD_CANCEL_DISABLE: c_int = if cfg!(target_vendor = "apple") { 0 } else { 1 };

/// Sets the state of the current thread and returns the previous one.
#[cfg(not(target_os = "android"))]
pub(super) fn set_cancel_state(state: c_int) -> c_int {
    let mut before = state;
    // SAFETY: `before` is writable, and no other thread is affected. The function fails only for an invalid state.
    unsafe { pthread_setcancelstate(state, &mut before) };
    before
}

#[cfg(not(target_os = "android"))]
unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}
