//! Tests of the event loop, one per claim of `docs/event-api.md`.
//!
//! Claims about the kernel are tested on the operating system's poller, claims about time and order on the
//! model poller.

#![cfg(not(loom))]

mod arguments;
mod batches;
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
