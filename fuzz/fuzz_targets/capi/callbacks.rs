//! The functions that the loop calls, and the boxes they are called with.

use std::ffi::{c_int, c_void};

use eventry::capi::{FreeFunction, HandleFunction, TimeoutFunction};

use crate::perform::{act, with_world};
use crate::script::Shape;

/// What a pointer points to, on the heap, where the sanitizer watches it.
struct Opaque {
    index: usize,
}

pub(crate) fn opaque(index: usize) -> *mut c_void {
    Box::into_raw(Box::new(Opaque { index })).cast()
}

/// Lets go of what a pointer points to.
pub(crate) fn free_opaque(opaque: *mut c_void) {
    // SAFETY: it came from `opaque`, and whoever calls this has the last word on it.
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
        // The removal said that one last call was running, and this is it.
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
    // SAFETY: it came from `opaque`. Whether it is still valid is what the sanitizer is to find out.
    unsafe { (*opaque.cast::<Opaque>()).index }
}
