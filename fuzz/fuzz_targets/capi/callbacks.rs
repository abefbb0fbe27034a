//! The callbacks, and the boxes that they are called with.

use std::ffi::{c_int, c_void};

use eventry::capi::{FreeFunction, HandleFunction, TimeoutFunction};

use crate::perform::{act, with_world};
use crate::script::Shape;

/// Target of a callback's pointer, on the heap so that the sanitizer detects invalid accesses.
struct Opaque {
    index: usize,
}

pub(crate) fn opaque(index: usize) -> *mut c_void {
    Box::into_raw(Box::new(Opaque { index })).cast()
}

/// Frees the box of a pointer.
pub(crate) fn free_opaque(opaque: *mut c_void) {
    // SAFETY: the pointer came from `opaque`, and the caller does not use it afterwards.
    drop(unsafe { Box::from_raw(opaque.cast::<Opaque>()) });
}

pub(crate) fn handle_callback(shape: Shape) -> Option<HandleFunction> {
    shape.has_callback.then_some(on_handle as HandleFunction)
}

pub(crate) fn timeout_callback(shape: Shape) -> Option<TimeoutFunction> {
    shape.has_callback.then_some(on_timeout as TimeoutFunction)
}

pub(crate) fn free_callback(shape: Shape) -> Option<FreeFunction> {
    shape.has_free.then_some(on_free as FreeFunction)
}

extern "C" fn on_handle(watch: c_int, fd: c_int, events: c_int, opaque: *mut c_void) {
    call(watch, Some((fd, events)), opaque);
}

extern "C" fn on_timeout(timer: c_int, opaque: *mut c_void) {
    call(timer, None, opaque);
}

fn call(id: c_int, fd_and_events: Option<(c_int, c_int)>, opaque: *mut c_void) {
    let index = index_of(opaque);
    with_world(|world| world.ledger.call_begins(index, id, fd_and_events));
    act();
    assert_eq!(index_of(opaque), index);
    let ends = with_world(|world| {
        let entry = &mut world.ledger.entries[index];
        entry.running = false;
        !entry.registered && !entry.shape.has_free
    });
    if ends {
        // The removal reported one last call, which is this one.
        with_world(|world| world.ledger.entries[index].freed = true);
        free_opaque(opaque);
    }
}

extern "C" fn on_free(opaque: *mut c_void) {
    let index = index_of(opaque);
    let acts_on_free = with_world(|world| {
        world.ledger.freed(index);
        world.ledger.entries[index].shape.acts_on_free
    });
    if acts_on_free {
        act();
    }
    assert_eq!(index_of(opaque), index);
    free_opaque(opaque);
}

fn index_of(opaque: *mut c_void) -> usize {
    // SAFETY: the pointer came from `opaque`. The sanitizer checks that it is still valid.
    unsafe { (*opaque.cast::<Opaque>()).index }
}
