//! Callbacks of C, as the table keeps them: one box each.

use crate::events::Events;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;

/// What a handle calls: its number, its descriptor, what is ready, its pointer.
pub type HandleFunction = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void);
/// What a timeout calls: its number, its pointer.
pub type TimeoutFunction = unsafe extern "C" fn(c_int, *mut c_void);
/// What an entry calls last of all: its pointer.
pub type FreeFunction = unsafe extern "C" fn(*mut c_void);

/// The caller's pointer. Dropping it is the free call.
#[derive(Debug)]
pub(super) struct Opaque {
    pointer: *mut c_void,
    free: Option<FreeFunction>,
}

// SAFETY: who registers agrees that the pointer is passed to his functions on the thread that runs the loop.
unsafe impl Send for Opaque {}

/// A handle's callback.
#[derive(Debug)]
pub(super) struct HandleEntry {
    callback: HandleFunction,
    fd: RawFd,
    opaque: Opaque,
}

/// A timeout's callback.
#[derive(Debug)]
pub(super) struct TimeoutEntry {
    callback: TimeoutFunction,
    opaque: Opaque,
}

impl Opaque {
    pub(super) fn new(pointer: *mut c_void, free: Option<FreeFunction>) -> Opaque {
        Opaque { pointer, free }
    }
}

impl Drop for Opaque {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: this is dropped once, after the last call, on the thread that runs the loop.
            unsafe { free(self.pointer) };
        }
    }
}

impl HandleEntry {
    pub(super) fn new(callback: HandleFunction, fd: RawFd, opaque: Opaque) -> HandleEntry {
        HandleEntry {
            callback,
            fd,
            opaque,
        }
    }

    pub(super) fn call(&self, watch: i32, events: Events) {
        let events = events.bits() as c_int;
        // SAFETY: the entry is registered and its free call has not been made, so the caller's promise holds.
        unsafe { (self.callback)(watch, self.fd, events, self.opaque.pointer) };
    }
}

impl TimeoutEntry {
    pub(super) fn new(callback: TimeoutFunction, opaque: Opaque) -> TimeoutEntry {
        TimeoutEntry { callback, opaque }
    }

    pub(super) fn call(&self, timer: i32) {
        // SAFETY: the entry is registered and its free call has not been made, so the caller's promise holds.
        unsafe { (self.callback)(timer, self.opaque.pointer) };
    }
}

/// Lets go of a callback that was not added, without its free call (EV-207).
pub(super) fn forget<F>(callback: F) {
    let _ = ManuallyDrop::new(callback);
}
