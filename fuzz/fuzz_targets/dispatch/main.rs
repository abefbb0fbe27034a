//! Two real loops on model pollers, and everything that callbacks, frees, hooks and other threads may do to them
//! at any point of a turn, nested turns of the other loop included.
//!
//! Each of these takes what it does from the one tape that the input stands for. A book of every registration
//! ever made checks each call, each free and each wait: at most one call per turn and none after a removal that
//! said `Idle`; each payload and each source dropped exactly once, not while it runs and not inside a removal;
//! what must be called is called; no wait is longer than it may be, or shorter without a reason. A callback that
//! was called under the lock would hang, which the fuzzer reports.

#![no_main]

mod calls;
mod entry;
mod ledger;
mod probe;
mod script;
mod waits;
mod world;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use script::Script;
use world::World;

fuzz_target!(|bytes: &[u8]| {
    let Ok(script) = Script::read(&mut Unstructured::new(bytes)) else {
        return;
    };
    let world = World::new(script);
    world.play();
    world.finish();
});
