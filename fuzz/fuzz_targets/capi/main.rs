//! The functions of the C header in any order, with any arguments, from outside and from inside callbacks and free
//! callbacks: stale, foreign and negative ids, NULL callbacks, descriptors closed, doubled and opened again.
//!
//! The descriptors are real, and so is the one loop of the process. Checked: what each function returns and what
//! `errno` says, that nothing is called after its removal or without being ready, that each free callback is
//! called once and each pointer is valid until then. The pointers are boxes, so that AddressSanitizer sees any
//! use after the free. Each input leaves the loop as empty as it found it.

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
