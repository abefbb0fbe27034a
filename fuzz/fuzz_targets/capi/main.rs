//! The functions of the C header in any order, with any arguments, from outside and from inside callbacks and free
//! callbacks: stale, unknown and negative ids, NULL callbacks, and descriptors that are closed, duplicated and reopened.
//!
//! The descriptors and the process's loop are real. The checks: the return value and `errno` of each function; no callback
//! is called after its removal or without being ready; each free callback is called once, and each pointer is valid
//! until then. Each pointer is a box, so that AddressSanitizer detects a use after the free. The loop is empty after
//! each input.

#![no_main]

mod callbacks;
mod descriptors;
mod errno;
mod ledger;
mod perform;
mod script;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(steps) = script::read(&mut Unstructured::new(bytes)) {
        perform::play(steps);
    }
});
