//! What the event loop promises, claim by claim: on the operating system's poller where the kernel
//! decides, on the model poller where time and order do.

#![cfg(not(loom))]

mod arguments;
mod changes;
mod descriptor_reuse;
mod descriptors;
mod disabled;
mod embedding;
mod frees;
mod identity;
mod loop_thread;
mod loops;
mod masks;
mod next;
mod panics;
mod refusals;
mod shared_descriptors;
mod stats;
mod stop;
mod support;
mod threads;
mod timeouts;
mod turn;
mod waiting;
mod wakes;
mod warnings;
