//! Callbacks of C programs, with one allocation each.

use crate::event_impl::IntHandleCallback;
use crate::events::Events;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;

/// The callback of a handle: receives the id, the descriptor, the events and the pointer of the caller.
pub type HandleFunction = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void);
/// The callback of a timeout: receives the id and the pointer of the caller.
pub type TimeoutFunction = unsafe extern "C" fn(c_int, *mut c_void);
/// The free callback of an entry: receives the pointer of the caller, after the last call.
pub type FreeFunction = unsafe extern "C" fn(*mut c_void);

/// The pointer of the caller. Its drop calls the free callback.
#[derive(Debug)]
pub(super) struct Opaque {
    pointer: *mut c_void,
    free: Option<FreeFunction>,
}

// SAFETY: the caller permits that the thread that runs the loop passes the pointer to the callbacks.
unsafe impl Send for Opaque {}

/// The callback of a handle, with its argument.
#[derive(Debug)]
pub(super) struct HandleEntry {
    callback: HandleFunction,
    opaque: Opaque,
}

/// The callback of a timeout, with its argument.
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
    pub(super) fn new(callback: HandleFunction, opaque: Opaque) -> HandleEntry {
        HandleEntry { callback, opaque }
    }
}

impl IntHandleCallback for HandleEntry {
    fn call(&mut self, watch: i32, fd: RawFd, events: Events) {
        let events = events.bits() as c_int;
        // SAFETY: the entry is registered and its free call has not been made, so the caller's promise holds.
        unsafe { (self.callback)(watch, fd, events, self.opaque.pointer) };
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

/// Drops a callback that was not added, without a call of the free callback (EV-207).
pub(super) fn forget<F>(callback: F) {
    let _ = ManuallyDrop::new(callback);
}
