//! What the event loop promises, claim by claim: on the operating system's poller where the kernel
//! decides, on the model poller where time and order do.

mod arguments;
mod changes;
mod closed;
mod descriptors;
mod disabled;
mod frees;
mod loops;
mod masks;
mod panics;
mod refusals;
mod shared_descriptors;
mod stop;
mod support;
mod threads;
mod timeouts;
mod turn;
mod wakes;
