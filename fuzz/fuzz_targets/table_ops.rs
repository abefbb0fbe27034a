//! The table against the oracle, with sequences of ops that coverage leads to.

#![no_main]

use arbitrary::Unstructured;
use eventry_verification::{Op, Violation, World};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err((ops, violation)) = check(bytes) {
        panic!("{violation} after {ops:?}");
    }
});

/// Applies the ops that `bytes` stand for, and ends the loop.
fn check(bytes: &[u8]) -> Result<(), (Vec<Op>, Violation)> {
    let mut bytes = Unstructured::new(bytes);
    let mut world = World::new();
    let mut ops = Vec::new();
    while !bytes.is_empty()
        && let Ok(op) = bytes.arbitrary()
    {
        ops.push(op);
        if let Err(violation) = world.apply(op) {
            return Err((ops, violation));
        }
    }
    world.wind_up().map_err(|violation| (ops, violation))
}
