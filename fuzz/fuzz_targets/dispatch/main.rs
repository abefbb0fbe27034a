//! Two real loops on model pollers, with operations of callbacks, free callbacks, hooks and other threads at every point
//! of a turn, including nested turns of the other loop.
//!
//! All of them read their operations from one script, which is decoded from the input. A ledger of all registrations
//! checks each call, free and wait: at most one call per turn, and none after a removal that returned `Idle`; each payload
//! and each source is dropped exactly once, not during a call and not inside a removal; due entries are called; no wait is
//! too long, or shorter without a reason. A callback that is called under the lock hangs, which the fuzzer reports.

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
