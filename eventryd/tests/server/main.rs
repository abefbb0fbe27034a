//! The daemon on threads of the test's process. Tests that start programs are in other test programs, because a child
//! holds copies of all descriptors until its `exec`.

#![cfg(not(loom))]

mod blocking;
mod drops;
mod keepalive;
mod linger;
mod slots;
mod startup_order;
mod workers;
