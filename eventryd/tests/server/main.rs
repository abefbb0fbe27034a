//! The daemon on threads of the test's process. Tests that start programs are elsewhere: a child has a copy of each
//! descriptor until it executes its program.

#![cfg(not(loom))]

mod blocking;
mod keepalive;
mod startup_order;
mod workers;
